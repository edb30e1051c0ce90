"""`Studio`: what one server holds."""

from __future__ import annotations

from pathlib import Path

from liveface.live.jobs import Jobs
from liveface.live.sessions import Sessions
from liveface.live.subjects import Shelf
from liveface.live.tracker import TrackerFeed


class Studio:
    """What one server holds; `folder` is removed by whoever made it.

    Args:
        own: a photo or an avatar that stands first.
        most_sessions: at once.
        tracker: "livelink:PORT" or "vmc:PORT", which mirrors the faces of all sessions; None is none.

    Raises:
        LivefaceError: the photo, the avatar or the tracker cannot be had.
    """

    def __init__(
        self, folder: Path, own: Path | None = None, most_sessions: int = 4, tracker: str | None = None
    ) -> None:
        self.folder = folder
        self.shelf = Shelf(folder, own)
        self.sessions = Sessions(self.shelf, folder, most_sessions)
        self.jobs = Jobs(folder, self.shelf)
        self.tracker = None if tracker is None else TrackerFeed(tracker, self.sessions.follow)
        if self.tracker is not None:
            self.tracker.start()

    def stop(self) -> None:
        """End all sessions and jobs, and the tracker."""
        if self.tracker is not None:
            self.tracker.stop()
        self.sessions.stop()
        self.jobs.stop()
