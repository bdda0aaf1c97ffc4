"""The dock widget: what a server or folder holds, with pictures, to be opened.

What reads series takes half a second to import: other threads do that, when they first need it.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final

from qtpy.QtCore import QSize, Qt
from qtpy.QtGui import QIcon, QImage, QPixmap
from qtpy.QtWidgets import (
    QCheckBox,
    QFileDialog,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QListWidget,
    QListWidgetItem,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from dicomzarr.faces.napari.background import Background
from dicomzarr.faces.napari.telling import say

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np
    import numpy.typing as npt

    from dicomzarr.faces.napari.listing import Row
    from dicomzarr.faces.napari.opening import Opened
    from dicomzarr.session.kinds import SeriesURL

_THUMBNAIL: Final = 112
"""Pixels of a side."""

_ROW: Final = Qt.ItemDataRole.UserRole


class Browser(QWidget):
    """Lists studies and their series; all that may take long runs in other threads.

    Args:
        napari_viewer: Where series are opened; napari passes it by this name.
    """

    def __init__(self, napari_viewer: Any) -> None:
        super().__init__()
        self._viewer = napari_viewer
        self._background = Background()
        self._turn = 0
        """Counts what was asked for: answers to what was asked before are dropped."""
        self.place = QLineEdit(placeholderText="https://HOST/dicom-web, or a folder")
        self.user = QLineEdit(placeholderText="user")
        self.password = QLineEdit(placeholderText="password", echoMode=QLineEdit.EchoMode.Password)
        self.search = QLineEdit(placeholderText="CT   20250101-20250131   patient ID   Attribute=value")
        self.patients = QCheckBox("Show patients")
        self.studies = QListWidget()
        self.series = QListWidget()
        self.status = QLabel(wordWrap=True)
        self._lay_out()
        self.destroyed.connect(self._background.close)

    def _lay_out(self) -> None:
        folder, listed, opened = (QPushButton(text) for text in ("Folder…", "List", "Open"))
        self.series.setViewMode(QListWidget.ViewMode.IconMode)
        self.series.setResizeMode(QListWidget.ResizeMode.Adjust)
        self.series.setMovement(QListWidget.Movement.Static)
        self.series.setIconSize(QSize(_THUMBNAIL, _THUMBNAIL))
        self.series.setGridSize(QSize(_THUMBNAIL + 16, _THUMBNAIL + 44))
        column = QVBoxLayout(self)
        for row in ((self.place, folder, listed), (self.user, self.password), (self.search, self.patients)):
            line = QHBoxLayout()
            for widget in row:
                line.addWidget(widget)
            column.addLayout(line)
        column.addWidget(self.studies, 1)
        column.addWidget(self.series, 2)
        column.addWidget(self.status)
        column.addWidget(opened)
        folder.clicked.connect(self._choose_folder)
        listed.clicked.connect(self.list_studies)
        opened.clicked.connect(self.open_series)
        for field in (self.place, self.password, self.search):
            field.returnPressed.connect(self.list_studies)
        self.patients.toggled.connect(self.list_studies)
        self.studies.itemSelectionChanged.connect(self.list_series)
        self.series.itemDoubleClicked.connect(self.open_series)

    def _choose_folder(self) -> None:
        folder = QFileDialog.getExistingDirectory(self, "A folder of DICOM files")
        if folder:
            self.place.setText(folder)
            self.list_studies()

    def list_studies(self, *_: object) -> None:
        """List the studies at the place that is typed in."""
        place, user, search = self.place.text().strip(), self.user.text(), self.search.text()
        password, patients = self.password.text(), self.patients.isChecked()
        if not place:
            return
        self.studies.clear()
        self.series.clear()

        def search_studies() -> list[Row]:
            from dicomzarr.faces.napari import listing  # noqa: PLC0415  # see the module
            from dicomzarr.faces.napari.opening import find, options_for, sign_in  # noqa: PLC0415  # as above

            if user:
                sign_in(place, user, password)
            return listing.studies(find(place), options_for(place), search, patients=patients)

        self._ask("Searching", search_studies, partial(self._show_rows, self.studies, "study", "studies"))

    def list_series(self) -> None:
        """List the series of the study that is chosen."""
        self._turn += 1
        self.series.clear()
        chosen = self.studies.currentItem()
        if chosen is None:
            return
        row: Row = chosen.data(_ROW)
        patients = self.patients.isChecked()

        def search_series() -> list[Row]:
            from dicomzarr.faces.napari import listing  # noqa: PLC0415  # see the module
            from dicomzarr.faces.napari.opening import options_for  # noqa: PLC0415  # as above

            return listing.series(row.url, options_for(row.url), patients=patients)

        self._ask("Searching", search_series, self._show_series)

    def open_series(self, *_: object) -> None:
        """Open the series that is chosen."""
        chosen = self.series.currentItem()
        if chosen is None:
            self.status.setText("Choose a series first.")
            return
        row: Row = chosen.data(_ROW)
        self.status.setText("Opening …")
        self._background.run(partial(_open, row.url), self._add_layers, self._say)

    def _ask(self, doing: str, work: Callable[[], Sequence[Row]], then: Callable[[Sequence[Row]], None]) -> None:
        self._turn += 1
        turn = self._turn
        self.status.setText(f"{doing} …")
        self._background.run(work, partial(self._if_still, turn, then), partial(self._if_still, turn, self._say))

    def _if_still(self, turn: int, then: Callable[[Any], None], result: Any) -> None:
        if turn == self._turn:
            then(result)

    def _show_rows(self, where: QListWidget, one: str, many: str, rows: Sequence[Row]) -> None:
        for row in rows:
            item = QListWidgetItem(row.text)
            item.setData(_ROW, row)
            where.addItem(item)
        from dicomzarr.faces.napari.listing import MOST  # noqa: PLC0415  # it has been imported to list them

        more = f", the first {MOST} of more" if len(rows) >= MOST else ""
        self.status.setText(f"{len(rows)} {one if len(rows) == 1 else many}{more}" if rows else f"No {one} matches.")

    def _show_series(self, rows: Sequence[Row]) -> None:
        self._show_rows(self.series, "series", "series", rows)
        turn = self._turn
        for number, row in enumerate(rows):
            picture = partial(self._picture, turn, row.url)
            self._background.run(
                picture,
                partial(self._if_still, turn, partial(self._show_picture, number)),
                partial(self._if_still, turn, partial(self._show_no_picture, number)),
            )

    def _picture(self, turn: int, url: SeriesURL) -> npt.NDArray[np.uint8] | None:
        """In another thread; nothing for a list that is no more shown."""
        from dicomzarr.arrays import open_image  # noqa: PLC0415  # see the module
        from dicomzarr.faces.napari.opening import options_for  # noqa: PLC0415  # as above

        return open_image(str(url), **options_for(url)).thumbnail(_THUMBNAIL) if turn == self._turn else None

    def _show_picture(self, number: int, pixels: npt.NDArray[np.uint8] | None) -> None:
        if pixels is not None:
            rows, columns, _ = pixels.shape
            image = QImage(pixels.tobytes(), columns, rows, 3 * columns, QImage.Format.Format_RGB888)
            self.series.item(number).setIcon(QIcon(QPixmap.fromImage(image)))

    def _show_no_picture(self, number: int, error: Exception) -> None:
        self.series.item(number).setToolTip(str(error))

    def _add_layers(self, opened: Opened) -> None:
        from napari.layers import Layer  # noqa: PLC0415  # heavy; napari has it

        from dicomzarr.faces.napari.facing import face_soon  # noqa: PLC0415  # its imports are there by now

        for layer in opened.layers:
            self._viewer.add_layer(Layer.create(*layer))
        face_soon(opened.layers)
        self.status.setText(f"{len(opened.layers)} {'layer' if len(opened.layers) == 1 else 'layers'} added.")
        say(opened.notices)

    def _say(self, error: Exception) -> None:
        self.status.setText(str(error) or type(error).__name__)


def _open(url: SeriesURL) -> Opened:
    from dicomzarr.faces.napari.opening import open_layers  # noqa: PLC0415  # see the module

    return open_layers(url)
