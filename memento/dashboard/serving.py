"""The dashboard as a server of this machine."""

from __future__ import annotations

import logging
import os
from typing import Any

from memento.dashboard.access import TOKEN, make_token
from memento.dashboard.app import make_app
from memento.dashboard.toolkit import BaseWSGIServer, make_server
from memento.dashboard.window import Window
from memento.errors import OptionError

PORT = 8050


class Dashboard:
    """Pages over the store at `path`, for whoever has their `address`; nothing of the store is changed.

    Args:
        path: the store, as in `open_store`.
        host: the name or address to listen at; "0.0.0.0" is every one that this machine has.
        port: the port; 0 is any that is free.

    Raises:
        StoreError: there is no store, or it cannot be read.
        OptionError: the port is taken, or the host is none of this machine.
        MissingExtra: Dash is not installed.
    """

    def __init__(
        self, path: str | os.PathLike[str] | None = None, *, host: str = "127.0.0.1", port: int = PORT
    ) -> None:
        token = make_token()
        app = make_app(Window(path), token)
        logging.getLogger("werkzeug").setLevel(logging.ERROR)  # it would print a line for each request
        try:
            self._server: Any = make_server(host, port, app.server, threaded=True)
        except (OSError, SystemExit) as error:  # werkzeug ends the program where the port is taken
            raise OptionError(
                f"nothing can listen at {host}, port {port}: {_reason(error)}; "
                "give another port, or 0 for any that is free"
            ) from error
        assert isinstance(self._server, BaseWSGIServer)
        shown = "localhost" if host in ("127.0.0.1", "0.0.0.0", "::1", "::") else host
        self.address = f"http://{shown}:{self._server.port}/?{TOKEN}={token}"

    def serve(self) -> None:
        """Answer requests until `close` is called, from another thread."""
        self._server.serve_forever()

    def close(self) -> None:
        """Answer nobody any more."""
        self._server.shutdown()
        self._server.server_close()


def _reason(error: BaseException) -> str:
    return error.strerror or str(error) if isinstance(error, OSError) else "it is taken"
