"""Motion becomes frames."""

from __future__ import annotations

from typing import Any


def renderers() -> dict[str, Any]:
    """Every renderer by name: classes that take a photo (uint8 `[h, w, 3]`), `size` and `face`."""
    from liveface.render.mesh import MeshRenderer

    return {"mesh": MeshRenderer}
