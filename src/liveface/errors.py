"""The one exception family of the house.

Every message has three parts: what happened (with the values), what was expected, and what to do. The command line
prints the message alone and exits with code 2.
"""

from __future__ import annotations


class LivefaceError(Exception):
    """Base of every error a user can cause or repair."""


class SignalError(LivefaceError, ValueError):
    """A photo, video, sound or motion file that cannot be used as it is."""


class FaceError(SignalError):
    """No usable face in a picture: none, too small, turned away, or an index that does not exist."""


class MotionError(LivefaceError, ValueError):
    """A motion sequence or motion file whose shape, range, rate or columns are wrong."""


class MotionMismatch(MotionError):
    """Two parts whose motion specifications differ."""


class WeightsError(LivefaceError):
    """A weights file that is missing, altered or not the network that was expected."""


class AvatarError(LivefaceError, ValueError):
    """An avatar file that is damaged, altered, of another version, or not to be trusted."""


class SinkError(LivefaceError, OSError):
    """An output that cannot be written: missing folder, no permission, full disk."""


class DeviceError(LivefaceError):
    """A microphone, camera or program that this machine lacks."""


class RecipeError(LivefaceError, ValueError):
    """A training recipe with unknown keys or impossible values."""


class ExportError(LivefaceError):
    """A network that could not be exported, or whose export differs from the original."""


class WireError(LivefaceError, ValueError):
    """A message to the live server that is malformed, too large, or not allowed."""
