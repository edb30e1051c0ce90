"""A live server in a thread, for tests."""

import threading
import time
from contextlib import contextmanager

import uvicorn

from liveface.live.run import bound
from liveface.live.server import make_app
from liveface.live.studio import Studio


@contextmanager
def running(folder, token=None, most=3):
    """A server in a thread; its port and its studio."""
    studio = Studio(folder, most_sessions=most)
    place = bound("127.0.0.1", 0)
    config = uvicorn.Config(
        make_app(studio, token), log_level="error", ws="websockets-sansio", ws_max_size=1 << 20,
        timeout_graceful_shutdown=1,
    )  # fmt: skip
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [place]})
    thread.start()
    try:
        while not server.started:
            time.sleep(0.01)
        yield place.getsockname()[1], studio
    finally:
        server.should_exit = True
        thread.join(20)
        place.close()
        assert not thread.is_alive()
