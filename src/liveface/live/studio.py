"""`Studio`: what one server holds."""

from __future__ import annotations

from pathlib import Path

from liveface.live.jobs import Jobs
from liveface.live.sessions import Sessions
from liveface.live.subjects import Shelf


class Studio:
    """What one server holds; `folder` is removed by whoever made it."""

    def __init__(self, folder: Path, own: Path | None = None, most_sessions: int = 4) -> None:
        self.folder = folder
        self.shelf = Shelf(folder, own)
        self.sessions = Sessions(self.shelf, folder, most_sessions)
        self.jobs = Jobs(folder, self.shelf)

    def stop(self) -> None:
        """End all sessions and jobs."""
        self.sessions.stop()
        self.jobs.stop()
