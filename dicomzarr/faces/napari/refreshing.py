"""Layers are shown anew when pixels have come, and the user hears of those that cannot be had."""

from __future__ import annotations

import threading
import weakref
from typing import TYPE_CHECKING, Any, Final

from qtpy.QtCore import QCoreApplication, QObject, QTimer, Signal, Slot

from dicomzarr.faces.napari.arrays import LayerArray

if TYPE_CHECKING:
    from dicomzarr.faces.napari.screen import Screen

_PAUSE_MS: Final = 40
"""Between one showing and the next: what comes meanwhile is shown together."""


class _Refresher(QObject):
    """Lives in the thread of the viewer; told in any other."""

    _news = Signal()
    _error = Signal(str)

    def __init__(self) -> None:
        super().__init__()
        self._lock = threading.Lock()
        self._due: weakref.WeakSet[Screen] = weakref.WeakSet()
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(_PAUSE_MS)
        self._timer.timeout.connect(self._refresh)
        self._news.connect(self._timer.start)
        self._error.connect(self._say)

    def changed(self, screen: Screen) -> None:
        """See `Watcher.changed`."""
        with self._lock:
            is_news = not self._due
            self._due.add(screen)
        if is_news:
            self._news.emit()

    def failed(self, text: str) -> None:
        """See `Watcher.failed`."""
        self._error.emit(text)

    # Slots of Qt's, which run in the thread that this was moved to, and not in that which made it.
    @Slot()  # type: ignore[untyped-decorator]  # Qt's
    def _refresh(self) -> None:
        with self._lock:
            due, self._due = self._due, weakref.WeakSet()
        for layer in (layer for viewer in viewers() for layer in list(viewer.layers)):
            screen = screen_of(layer)
            if screen is not None and screen in due:
                layer.refresh(extent=False, highlight=False, thumbnail=screen.is_complete)

    @Slot(str)  # type: ignore[untyped-decorator]  # as above
    def _say(self, text: str) -> None:
        from napari.utils.notifications import show_error  # noqa: PLC0415  # heavy; whoever has layers has it

        show_error(text)


def keep_fresh(screen: Screen) -> None:
    """Have the layers of a screen shown anew whenever pixels have come; where there is no Qt, nothing is.

    Args:
        screen: What napari shows of a layer.
    """
    application = QCoreApplication.instance()
    if application is not None:
        screen.watch(_refresher(application))


def screen_of(layer: Any) -> Screen | None:
    """The screen of a layer; None for layers of others."""
    data = layer.data[0] if getattr(layer, "multiscale", False) else layer.data
    return data.screen if isinstance(data, LayerArray) else None


_made: list[_Refresher] = []
_making = threading.Lock()


def _refresher(application: QCoreApplication) -> _Refresher:
    with _making:
        if not _made:
            _made.append(_Refresher())
            _made[0].moveToThread(application.thread())
        return _made[0]


def viewers() -> list[Any]:
    """All viewers that are open."""
    from napari import Viewer  # noqa: PLC0415  # heavy; whoever has layers has it

    return list(Viewer._instances)  # noqa: SLF001  # napari names only the current one
