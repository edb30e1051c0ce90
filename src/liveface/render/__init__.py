"""Motion becomes frames."""

from __future__ import annotations

from typing import Any


def renderers() -> dict[str, Any]:
    """Every renderer by name.

    `mesh` takes a photo (uint8 `[h, w, 3]`), `size` and `face`; `liveface` takes an `Avatar`. See `liveface.subject`.
    """
    from liveface.render.liveface.renderer import LiveFaceRenderer
    from liveface.render.mesh import MeshRenderer

    return {"mesh": MeshRenderer, "liveface": LiveFaceRenderer}
