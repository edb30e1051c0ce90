"""Photoreal talking heads in real time, offline, on weak hardware.

```python
import liveface

liveface.animate("photo.jpg", "speech.wav", "out.mp4")
```
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from liveface.errors import LivefaceError
    from liveface.motion.files import load_motion, save_motion
    from liveface.session import Options, Report, Session, animate, listen, track
    from liveface.signals.media import probe
    from liveface.types import ARKIT_NAMES, Motion

__all__ = [
    "ARKIT_NAMES",
    "LivefaceError",
    "Motion",
    "Options",
    "Report",
    "Session",
    "animate",
    "listen",
    "load_motion",
    "probe",
    "save_motion",
    "track",
]

_HOMES = {
    "ARKIT_NAMES": "types",
    "LivefaceError": "errors",
    "Motion": "types",
    "Options": "session",
    "Report": "session",
    "Session": "session",
    "animate": "session",
    "listen": "session",
    "load_motion": "motion.files",
    "probe": "signals.media",
    "save_motion": "motion.files",
    "track": "session",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used, so that `import liveface` stays instant."""
    if name not in _HOMES:
        raise AttributeError(f"module 'liveface' has no name {name!r}; it has {', '.join(__all__)}.")
    return getattr(import_module(f"liveface.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
