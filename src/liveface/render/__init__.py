"""Motion becomes frames."""

from __future__ import annotations

from functools import partial
from importlib import import_module
from typing import Any

from liveface import store

GUESTS = {
    "liveportrait": "liveface.torch_renderers.liveportrait.renderer",
    "personalive": "liveface.torch_renderers.personalive.renderer",
}
"""Networks of others that draw with weights that the user brings: name to the module with its `open_renderer`."""
SQUARE = ("personalive",)
"""Those that draw squares only."""


def renderers() -> dict[str, Any]:
    """Every renderer by name.

    `mesh` and `mobileportrait` take a photo (uint8 `[h, w, 3]`), `size` and `face`; `liveface` takes an `Avatar`; those
    in `GUESTS` take a photo too, and need torch and weights of the user's. See `liveface.subject`.
    """
    from liveface.render.liveface.renderer import LiveFaceRenderer
    from liveface.render.mesh import MeshRenderer
    from liveface.render.mobileportrait.renderer import MobilePortraitRenderer

    own = {"mesh": MeshRenderer, "mobileportrait": MobilePortraitRenderer, "liveface": LiveFaceRenderer}
    return {**own, **{name: partial(_guest, name) for name in GUESTS}}


def _guest(name: str, *given: Any, **named: Any) -> Any:
    """A renderer of `GUESTS`; its module is looked up by name, so that nothing here needs torch.

    Raises:
        DeviceError: torch is not installed. WeightsError: the weights are not there; both say what to do.
    """
    store.check_packages(name)
    return import_module(GUESTS[name]).open_renderer(*given, **named)
