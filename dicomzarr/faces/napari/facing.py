"""Which plane of a volume the viewer begins with: that in which it was taken, head up."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QCoreApplication, QTimer

from dicomzarr.faces.napari.refreshing import screen_of, viewers

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dicomzarr.faces.napari.layers import LayerData
    from dicomzarr.faces.napari.screen import Screen

_THREE = 3
"""Axes of space."""


def face_soon(layers: Sequence[LayerData]) -> None:
    """Turn a viewer to the plane of layers when it has them, if it has no others and they were all taken in one.

    Args:
        layers: As a reader gives them; to be called in the thread of the viewer.
    """
    planes = {facts["dicomzarr"]["slices_along"] for facts in (arguments["metadata"] for _, arguments, _ in layers)}
    screens = {screen for data, *_ in layers if (screen := _screen(data)) is not None}
    if len(planes) == 1 and None not in planes and QCoreApplication.instance() is not None:
        QTimer.singleShot(0, partial(_face, screens, planes.pop()))


def _screen(data: Any) -> Screen | None:
    return getattr(data[0] if isinstance(data, list) else data, "screen", None)


def _face(screens: set[Screen], along: int) -> None:
    for viewer in viewers():
        if viewer.layers and all(screen_of(layer) in screens for layer in viewer.layers):
            space = list(range(viewer.dims.ndim - _THREE, viewer.dims.ndim))
            slices = space.pop(along)
            viewer.dims.order = (*range(viewer.dims.ndim - _THREE), slices, *space)
            camera = getattr(viewer, "scene", viewer).camera
            # On a screen y points down, as does the P of axial slices; z, which points to the head, shall not.
            camera.orientation2d = ("down" if along == 0 else "up", "right")
            viewer.reset_view()
