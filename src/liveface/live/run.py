"""`liveface live`: bind, say where, serve until Ctrl-C."""

from __future__ import annotations

import argparse
import os
import secrets
import socket
import sys
import tempfile
import webbrowser
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from liveface.errors import DeviceError, SignalError

PORT = 8470
NEEDS = ("fastapi", "uvicorn", "websockets")
LOOPBACK = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True, slots=True)
class LiveOptions:
    """How the server shall be.

    Attributes:
        subject: a photo or an avatar that stands first; None begins with one that ships.
        host: where to listen; beyond this computer a token is needed.
        port: 0 takes a free one.
        token: that pages and programs must show; None is none on this computer, and a fresh one beyond it.
        sessions: how many live sessions at once.
        certificate, key: PEM files, for HTTPS; browsers give microphone and camera to HTTPS and to localhost only.
        browser: whether to open the page.
        tracker: "livelink:11111" or "vmc:39539": a phone or a program that mirrors the faces of all pages.
        ice: servers for calls over WebRTC, such as "stun:stun.example.org:3478" or "turn:user:password@host:3478".
    """

    subject: Path | None = None
    host: str = "127.0.0.1"
    port: int = PORT
    token: str | None = None
    sessions: int = 4
    certificate: Path | None = None
    key: Path | None = None
    browser: bool = True
    ice: tuple[str, ...] = ()
    tracker: str | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.port <= 65535:
            raise SignalError(f"port {self.port} does not exist; expected 0 to 65535, for instance {PORT}.")
        if not 1 <= self.sessions <= 64:
            raise SignalError(f"{self.sessions} sessions are not usable; expected 1 to 64.")
        if self.token is not None and len(self.token) < 12:
            raise SignalError(f"a token of {len(self.token)} characters is easily guessed; expected 12 or more.")
        if (self.certificate is None) != (self.key is None):
            raise SignalError("a certificate and a key go together; expected both --certificate and --key.")
        for file in (self.certificate, self.key):
            if file is not None and not file.is_file():
                raise SignalError(f"{file} does not exist; expected a PEM file.")


def add_options(one: argparse.ArgumentParser) -> None:
    """The verb's arguments."""
    one.add_argument("subject", nargs="?", help="a photo or an avatar to begin with; an avatar that ships by default")
    one.add_argument("--host", default="127.0.0.1", help="where to listen; beyond this computer a token is needed")
    one.add_argument("--port", type=int, default=PORT, help=f"0 takes a free one ({PORT})")
    one.add_argument("--token", help="that pages must show (none on this computer, else a fresh one)")
    one.add_argument("--sessions", type=int, default=4, help="live sessions at once (4)")
    one.add_argument("--certificate", type=Path, help="PEM file for HTTPS, which microphones need beyond this computer")
    one.add_argument("--key", type=Path, help="PEM file of the certificate's key")
    one.add_argument(
        "--ice",
        action="append",
        default=[],
        metavar="SERVER",
        help="for calls: stun:host:port, turn:user:word@host:port",
    )
    one.add_argument("--tracker", help="livelink:PORT or vmc:PORT mirrors the faces of all pages")
    one.add_argument("--no-browser", action="store_true", help="only say where the page is")


def options_of(given: argparse.Namespace) -> LiveOptions:
    """The options of a parsed command line."""
    return LiveOptions(
        subject=Path(given.subject) if given.subject else None,
        host=given.host,
        port=given.port,
        token=given.token,
        sessions=given.sessions,
        certificate=given.certificate,
        key=given.key,
        browser=not given.no_browser,
        ice=tuple(given.ice),
        tracker=given.tracker,
    )


def check_extra() -> None:
    """Raise a `DeviceError` when the `live` extra is not installed."""
    for name in NEEDS:
        if find_spec(name) is None:
            raise DeviceError(f"{name} is not installed; expected the live extra: pip install 'liveface[live]'.")


def serve(options: LiveOptions, *, quiet: bool = False) -> None:
    """Serve until Ctrl-C or a request to end.

    Raises:
        DeviceError: the extra is missing, or the port is taken. LivefaceError: the subject cannot be used.
    """
    check_extra()
    import uvicorn

    from liveface.live.calls import IceServer
    from liveface.live.server import make_app
    from liveface.live.studio import Studio

    ice = [IceServer.parse(one) for one in options.ice]
    with tempfile.TemporaryDirectory(prefix="liveface-") as folder:
        studio = Studio(Path(folder), options.subject, options.sessions, options.tracker)
        token = options.token
        if token is None and options.host not in LOOPBACK:
            token = secrets.token_urlsafe(18)
        with bound(options.host, options.port) as place:
            config = uvicorn.Config(
                make_app(studio, token, ice), log_level="error", ws="websockets-sansio", ws_max_size=1 << 20,
                ws_per_message_deflate=False, timeout_graceful_shutdown=2, server_header=False,
                ssl_certfile=options.certificate, ssl_keyfile=options.key,
            )  # fmt: skip
            address = where(options, place.getsockname()[1], token)

            class Server(uvicorn.Server):
                """Says where it is once it serves, and Ctrl-C is taken care of."""

                async def startup(self, sockets: list[socket.socket] | None = None) -> None:
                    await super().startup(sockets)
                    if not quiet:
                        sys.stderr.write(f"liveface live: {address} (Ctrl-C ends)\n")
                        sys.stderr.flush()
                    if options.browser and (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
                        webbrowser.open(address)

            try:
                Server(config).run(sockets=[place])
            except KeyboardInterrupt:
                pass  # this is how one ends it
            finally:
                studio.stop()


def bound(host: str, port: int) -> socket.socket:
    """A socket that listens.

    Raises:
        DeviceError: it cannot.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    place = socket.socket(family, socket.SOCK_STREAM)
    place.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        place.bind((host, port))
        place.listen(128)
    except (OSError, OverflowError) as error:
        place.close()
        raise DeviceError(f"cannot listen on {host}:{port} ({error}); expected a free port: try --port 0.") from error
    return place


def where(options: LiveOptions, port: int, token: str | None) -> str:
    """The address of the page; the token stands where browsers do not send it."""
    host = {"0.0.0.0": socket.gethostname(), "::": socket.gethostname()}.get(options.host, options.host)  # noqa: S104
    scheme = "https" if options.certificate else "http"
    shown = f"[{host}]" if ":" in host else host
    return f"{scheme}://{shown}:{port}/" + (f"#token={token}" if token else "")
