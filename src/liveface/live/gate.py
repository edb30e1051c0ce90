"""`Gate`: what stands before every request: host, origin, token, and the headers that keep a page to itself.

Notable choices: without a token only names of this computer are answered, so that no foreign page can reach in under
a name of its own (DNS rebinding); browsers always send an `Origin` with a WebSocket and with what changes something,
and it must be the page's own; programs send none. The page itself holds no secrets and needs no token.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import urlsplit

MOST_BODY = 1 << 20  # bytes of a request to the API; uploads have limits of their own
TOO_LARGE, MOST_SWALLOWED = 413, 1 << 24
LOOPBACK = ("localhost", "127.0.0.1", "::1")

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


class Gate:
    """An ASGI application before another one.

    Args:
        app: what stands behind.
        token: that `/api` and `/live` need; None is for this computer alone.
    """

    def __init__(self, app: App, token: str | None = None) -> None:
        self._app, self._token = app, token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or let through."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        host = headers.get("host", "")
        refusal = self._refusal(scope, headers, host)
        if scope["type"] == "websocket":
            if refusal is not None:
                await receive()
                await send({"type": "websocket.close", "code": 1008, "reason": refusal[1]})
                return
            await self._app(scope, receive, send)
            return

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", []), *_guards(host)]
            await send(message)

        if refusal is None:
            await self._app(scope, receive if _uploads(scope) else _limited(receive), guarded)
            return
        if refusal[0] == TOO_LARGE:
            await _swallow(receive)
        body = json.dumps({"error": refusal[1]}).encode()
        start = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        if refusal[0] == 401:
            start.append((b"www-authenticate", b"Bearer"))
        await guarded({"type": "http.response.start", "status": refusal[0], "headers": start})
        await send({"type": "http.response.body", "body": body})

    def _refusal(self, scope: Scope, headers: dict[str, str], host: str) -> tuple[int, str] | None:
        """Status and sentence of what is not let through."""
        if self._token is None and _name(f"//{host}") not in LOOPBACK:
            return 421, f"this server is for this computer alone and was called {host[:80]!r}; expected localhost."
        origin = headers.get("origin")
        if origin is not None and urlsplit(origin).netloc.lower() != host.lower():
            return 403, f"the origin {origin[:80]!r} is not this server's own page; expected {host!r}."
        needs_token = scope["type"] == "http" and scope["path"].startswith("/api/")
        if needs_token and not self.knows(headers.get("authorization", "").removeprefix("Bearer ")):
            return 401, "a bearer token is needed; expected the one that was printed when the server began."
        if scope["type"] == "http" and not _uploads(scope) and _length(headers) > MOST_BODY:
            return TOO_LARGE, f"the request has {_length(headers)} bytes; expected at most {MOST_BODY}."
        return None

    def knows(self, token: str) -> bool:
        """Whether a token opens this gate."""
        return self._token is None or secrets.compare_digest(token.encode(), self._token.encode())


def _name(address: str) -> str:
    try:
        return (urlsplit(address).hostname or "").lower()
    except ValueError:
        return ""


def _uploads(scope: Scope) -> bool:
    return bool(scope["path"] == "/api/uploads")


def _length(headers: dict[str, str]) -> int:
    given = headers.get("content-length", "0")
    return int(given) if given.isascii() and given.isdigit() and len(given) < 19 else 0


async def _swallow(receive: Receive) -> None:
    """Take what is being sent, so that the sender comes to read the answer; not without end."""
    count = 0
    while count < MOST_SWALLOWED:
        message = await receive()
        count += len(message.get("body") or b"")
        if message["type"] != "http.request" or not message.get("more_body"):
            return


def _limited(receive: Receive) -> Receive:
    """A way in that ends, as if the caller had gone, when more comes than a request may hold."""
    count = 0

    async def within() -> Message:
        nonlocal count
        message = await receive()
        count += len(message.get("body") or b"")
        return message if count <= MOST_BODY else {"type": "http.disconnect"}

    return within


def _guards(host: str) -> list[tuple[bytes, bytes]]:
    """Headers of every answer."""
    safe = (
        host
        if host.replace(".", "").replace(":", "").replace("-", "").replace("[", "").replace("]", "").isalnum()
        else ""
    )
    sockets = f" ws://{safe} wss://{safe}" if safe else ""
    policy = (
        f"default-src 'none'; script-src 'self'; worker-src 'self'; style-src 'self'; img-src 'self' blob:; "
        f"media-src 'self' blob:; connect-src 'self'{sockets}; manifest-src 'self'; base-uri 'none'; "
        "form-action 'none'; frame-ancestors 'none'"
    )
    values = {
        "content-security-policy": policy,
        "cross-origin-opener-policy": "same-origin",
        "cross-origin-resource-policy": "same-origin",
        "permissions-policy": "camera=(self), microphone=(self), geolocation=()",
        "referrer-policy": "no-referrer",
        "x-content-type-options": "nosniff",
        "cache-control": "no-store",
    }
    return [(name.encode(), value.encode()) for name, value in values.items()]
