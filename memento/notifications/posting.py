"""One POST, certificates checked and no redirect followed. Imported when a notification is posted."""

from __future__ import annotations

import http.client
import ssl
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from typing import Any

from memento.notifications.secret import redacted
from memento.notifications.webhook import is_here
from memento.wording import one_line


def post(
    url: str, body: bytes, headers: Mapping[str, str], timeout: float, context: ssl.SSLContext | None
) -> tuple[str | None, float | None]:
    """Post JSON; returns what went wrong (None: nothing) and, where a retry may help, the least pause before it."""
    own = {"Content-Type": "application/json; charset=utf-8", "User-Agent": "memento"}
    try:
        request = urllib.request.Request(url, body, {**own, **headers}, method="POST")
        with _opener(url, context).open(request, timeout=timeout) as response:
            response.read(1024)
        return None, None
    except urllib.error.HTTPError as error:
        with error:
            may_help = error.code >= 500 or error.code == 429
            return f"answered {error.code}", _pause(error.headers.get("Retry-After")) if may_help else None
    except (OSError, http.client.HTTPException, ValueError) as error:
        cause = error.reason if isinstance(error, urllib.error.URLError) else error
        lasting = isinstance(cause, ssl.SSLCertVerificationError | ValueError)
        return f"could not be reached: {_text(cause, url, headers)}", None if lasting else 0.0


def _text(cause: object, url: str, headers: Mapping[str, str]) -> str:
    """Return what `cause` says, without what is secret: exceptions of `http.client` quote addresses and headers."""
    parts = urllib.parse.urlsplit(url)
    secrets = (url, parts.path.strip("/"), parts.query, *headers.values())
    text = f"{type(cause).__name__}: {cause}" if isinstance(cause, Exception) else str(cause)
    return one_line(redacted(text, secrets), 200)


def _opener(url: str, context: ssl.SSLContext | None) -> urllib.request.OpenerDirector:
    checks = urllib.request.HTTPSHandler(context=context or ssl.create_default_context())
    handlers: list[urllib.request.BaseHandler] = [_NoRedirects(), checks]
    if is_here(urllib.parse.urlsplit(url).hostname or ""):
        handlers.append(urllib.request.ProxyHandler({}))
    return urllib.request.build_opener(*handlers)


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """A redirect would carry the headers to another host, and turn the POST into a GET."""

    def redirect_request(self, *_: Any) -> None:
        """Follow none."""


def _pause(retry_after: str | None) -> float:
    return float(retry_after) if retry_after and retry_after.isdecimal() else 0.0
