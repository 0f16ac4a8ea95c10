"""Who may look: whoever has the token, which the address has that `memento dashboard` prints.

On a login node everybody can reach a port of everybody, and in a browser any other page can ask for this one's. So a
request without the token gets nothing; once it was given, a cookie goes on giving
it, which other pages cannot read, and which is not sent with what they ask for.
"""

from __future__ import annotations

import secrets
from typing import Any

from memento.dashboard.toolkit import make_response, redirect, request

TOKEN = "token"
REFUSED = """\
<!doctype html><title>memento</title><p>This is a page over somebody's results, and needs the token that stands in the
address which <code>memento dashboard</code> has printed: <code>http://…/?token=…</code>
"""
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",  # the address has the token
    "Cache-Control": "no-store",
}


def make_token() -> str:
    """Return a token that nobody can guess."""
    return secrets.token_urlsafe(24)


def guard(server: Any, token: str) -> None:
    """Have the Flask application `server` answer only those who have the `token`."""

    @server.before_request
    def admit() -> Any:
        cookie = f"memento-{request.host.rpartition(':')[2]}"  # cookies do not tell ports apart
        given = request.args.get(TOKEN)
        if given is not None and secrets.compare_digest(given.encode(), token.encode()):
            answer = redirect(request.path)
            answer.set_cookie(cookie, token, httponly=True, samesite="Lax")
            return answer
        if secrets.compare_digest(request.cookies.get(cookie, "").encode(), token.encode()):
            return None
        return make_response(REFUSED, 403)

    @server.after_request
    def protect(answer: Any) -> Any:
        for name, value in HEADERS.items():
            answer.headers.setdefault(name, value)
        return answer
