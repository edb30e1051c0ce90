"""The Virtual Motion Capture protocol: blend shapes and bones of an avatar as OSC messages, usually to port 39539.

What is read: `/VMC/Ext/Blend/Val` (name, value) until `/VMC/Ext/Blend/Apply` makes them count, `/VMC/Ext/Bone/Pos`
(name, position, quaternion), and the tracking state of `/VMC/Ext/OK`. All other addresses are passed over, as the
protocol asks for; those three are refused when their arguments are wrong.

Notable choices: only bones from the spine to the eyes are kept; rotations are local, as sent, and composed in
`liveface.motion.trackers`. A packet counts as a whole or not at all.

Source: https://protocol.vmc.info (marionette specification 2.7).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeGuard

import numpy as np

from liveface.errors import SignalError
from liveface.signals.osc import OscMessage, pack_osc, parse_osc
from liveface.types import Array

PORT = 39539
BONES = ("Spine", "Chest", "UpperChest", "Neck", "Head", "LeftEye", "RightEye")
"""Names of the bones that are kept, from the hips upwards."""
MAX_NAMES = 512  # blend shapes of a sender
MAX_NAME = 64  # letters
MOST_SENT = 16  # messages in a packet of ours: with the longest names 1300 bytes, and 1472 pass every network
MAX_VALUE = 10.0  # beyond it the unit is another one

_VALUE, _APPLY, _BONE, _STATE = "/VMC/Ext/Blend/Val", "/VMC/Ext/Blend/Apply", "/VMC/Ext/Bone/Pos", "/VMC/Ext/OK"


@dataclass(slots=True)
class VmcState:
    """What a sender has said so far.

    Attributes:
        blends: name as sent to value, of the last `Apply`.
        bones: name of `BONES` to its local rotation as a unit quaternion `[4]`: x, y, z, w in Unity's axes.
        tracking: whether the sender says that it sees anybody.
    """

    blends: dict[str, float] = field(default_factory=dict)
    bones: dict[str, Array] = field(default_factory=dict)
    tracking: bool = True
    _pending: dict[str, float] = field(default_factory=dict)

    def take(self, data: bytes) -> bool:
        """Take a packet; returns whether a frame became whole: blend shapes applied, or a bone turned.

        Raises:
            SignalError: it is no OSC packet, or a message of this protocol has wrong arguments; then nothing changed.
        """
        messages = parse_osc(data)
        blends: dict[str, float] = {}
        applied: dict[str, float] | None = None
        bones: dict[str, Array] = {}
        tracking = self.tracking
        for message in messages:
            if message.address == _VALUE:
                name, value = _blend(message)
                blends[name] = value
            elif message.address == _APPLY:
                applied = {**(applied or {}), **blends}
                blends = {}
            elif message.address == _BONE:
                bones |= _bone(message)
            elif message.address == _STATE:
                tracking = _tracking(message, tracking)
        if len({*self.blends, *self._pending, *blends, *(applied or {})}) > MAX_NAMES:
            raise SignalError(f"a sender has more than {MAX_NAMES} blend shapes; expected those of one face.")
        if applied is not None:
            self.blends |= self._pending | applied
            self._pending = {}
        self._pending |= blends
        self.bones |= bones
        self.tracking = tracking
        return applied is not None or bool(bones)


def pack_vmc(blends: dict[str, float], bones: dict[str, Array], time_s: float) -> list[bytes]:
    """One frame as packets that pass every network undivided; the inverse of `VmcState.take`.

    Args:
        blends: name to value; bones: name to quaternion `[4]`; time_s: since the sender began.
    """
    messages = [OscMessage(_STATE, (1,)), OscMessage("/VMC/Ext/T", (float(time_s),))]
    for name, turn in bones.items():
        messages.append(OscMessage(_BONE, (name, 0.0, 0.0, 0.0, *(float(value) for value in turn))))
    messages += [OscMessage(_VALUE, (name, float(value))) for name, value in blends.items()]
    messages.append(OscMessage(_APPLY))
    packets = [messages[at : at + MOST_SENT] for at in range(0, len(messages), MOST_SENT)]
    return [pack_osc(part) for part in packets]


def _blend(message: OscMessage) -> tuple[str, float]:
    name, value = message.arguments if len(message.arguments) == 2 else (None, None)
    if not isinstance(name, str) or not 0 < len(name) <= MAX_NAME or not _is_number(value) or abs(value) > MAX_VALUE:
        raise SignalError(f"a blend shape is {str(message.arguments)[:60]}; expected its name and a value.")
    return name, float(value)


def _bone(message: OscMessage) -> dict[str, Array]:
    """The rotation of a bone that is kept; nothing for the others."""
    name = message.arguments[0] if message.arguments else None
    numbers = message.arguments[1:]
    if not isinstance(name, str) or len(numbers) != 7 or not all(_is_number(value) for value in numbers):
        raise SignalError(f"a bone is {str(message.arguments)[:60]}; expected its name and seven numbers.")
    turn = np.clip(np.array(numbers[3:], np.float64), -2, 2)
    length = float(np.linalg.norm(turn))
    if not 0.5 < length < 2:
        raise SignalError(f"bone {name[:MAX_NAME]!r} has a quaternion of length {length:g}; expected 1.")
    return {name: np.asarray(turn / length, np.float32)} if name in BONES else {}


def _tracking(message: OscMessage, before: bool) -> bool:  # noqa: FBT001 - a state, not a switch
    """The tracking state, which senders of version 2.7 and later say as fourth number."""
    if not message.arguments or not all(_is_number(value) for value in message.arguments):
        raise SignalError(f"a state is {str(message.arguments)[:60]}; expected one to four whole numbers.")
    values: Sequence[object] = message.arguments
    return bool(values[3]) if len(values) > 3 else before


def _is_number(value: object) -> TypeGuard[float]:
    """Whether it is a finite number; booleans are none."""
    return isinstance(value, int | float) and not isinstance(value, bool) and bool(np.isfinite(value))
