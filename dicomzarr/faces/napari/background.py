"""Work in other threads, whose results come back into the thread of the viewer."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar

from qtpy.QtCore import QCoreApplication, QEventLoop, QObject, QThread, Signal

from dicomzarr.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

_Result = TypeVar("_Result")

_THREADS: Final = 4


class Background(QObject):
    """Runs what may take long; made in the thread of the viewer."""

    _back = Signal(object)

    def __init__(self) -> None:
        super().__init__()
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="dicomzarr-browse")
        self._back.connect(_call)

    def run(
        self, work: Callable[[], _Result], then: Callable[[_Result], None], failed: Callable[[Exception], None]
    ) -> None:
        """Run in another thread.

        Args:
            work: What to do.
            then: Takes the result, in the thread of the viewer.
            failed: Takes an error, likewise.
        """
        self._pool.submit(self._work, work, then, failed)

    def close(self) -> None:
        """Begin nothing any more; what is under way ends in silence."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _work(self, work: Callable[[], Any], then: Callable[[Any], None], failed: Callable[[Exception], None]) -> None:
        try:
            outcome = partial(then, work())
        except Exception as error:  # noqa: BLE001  # whoever waits must hear of it
            outcome = partial(failed, error)
        try:
            self._back.emit(outcome)
        except RuntimeError:
            return  # the widget is gone, and Qt's part of this with it


def meanwhile(work: Callable[[], _Result]) -> _Result:
    """What work gives, for which the viewer does not stand still: pictures are painted, and its user goes on.

    Args:
        work: Runs in another thread if this is that of a viewer.

    Raises:
        UsageError: The viewer was closed meanwhile.
        Exception: What work raises.
    """
    application = QCoreApplication.instance()
    if application is None or QThread.currentThread() is not application.thread():
        return work()
    loop, results, errors = QEventLoop(), list[_Result](), list[Exception]()
    background = Background()

    def end(outcome: list[Any], found: object) -> None:
        outcome.append(found)
        loop.quit()

    background.run(work, partial(end, results), partial(end, errors))
    loop.exec()
    background.close()
    for error in errors:
        raise error
    if not results:
        raise UsageError("The viewer was closed before the series was open.")
    return results[0]


def _call(outcome: Callable[[], None]) -> None:
    outcome()
