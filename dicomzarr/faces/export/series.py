"""The series that is exported: its selection, and the levels that blocks are read from."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from dicomzarr.errors import InvalidOptionError
from dicomzarr.faces.export.documents import group_documents, identity_of
from dicomzarr.faces.export.selection import select
from dicomzarr.sources.files.index import state_in
from dicomzarr.sources.files.urls import is_folder_url

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dicomzarr.arrays.image import Image
    from dicomzarr.arrays.level import Level, MultiscaleImage
    from dicomzarr.faces.export.options import ExportOptions
    from dicomzarr.faces.export.selection import Taken
    from dicomzarr.omezarr.hierarchy import Documents
    from dicomzarr.plan import ImagePlan, LevelPlan


class Source:
    """What of a series is exported.

    Args:
        image: Any image of it.
        options: What is taken, and how it is written.
        kept: Paths of arrays whose frames are kept as they came; by default all or none, as the options say.

    Raises:
        InvalidOptionError: The series has nothing of the kind.
    """

    def __init__(self, image: Image, options: ExportOptions, kept: frozenset[str] | None = None) -> None:
        self.options = options
        self._image = image
        self.store = image.store
        self.selection = select(self.store.plan, options)
        self._images: dict[str, MultiscaleImage] = {each.path: each for each in image.images}
        self._images |= {each.path: each for each in image.associated.values()}
        for shown in list(self._images.values()):
            self._images |= {label.path: label for label in shown.labels.values()}
        self._view = {name: value for name, value in asdict(image.view).items() if name != "zarr_format"}
        paths = frozenset(part.path for part in self.selection.parts) if options.keep_encoded else frozenset[str]()
        self.kept = paths if kept is None else kept
        self._check_absent()

    @property
    def only_image(self) -> ImagePlan:
        """What is exported of the one image that there is."""
        plan = self.selection.plan
        return plan.images[0] if plan.images else plan.associated[0][1]

    @property
    def colored(self) -> ImagePlan:
        """The only image with the colours of its palette, as the series has it.

        Raises:
            MetadataError: The palette is broken, or is not there.
        """
        return self._image.opened_with(values="color").store.plan.at(self.selection.parts[0].taken.image)

    def with_options(self, options: ExportOptions) -> Source:
        """The same series with other options.

        Raises:
            InvalidOptionError: It has nothing of the kind.
        """
        return self if options == self.options else Source(self._image, options)

    def keeping(self, paths: frozenset[str]) -> Source:
        """The same, with the frames of these arrays as they came."""
        return Source(self._image, self.options, paths)

    @property
    def identity(self) -> dict[str, Any]:
        """What is exported and how: two exports of one are the same."""
        return {"series": self.store.state, "view": self._view, "kept": sorted(self.kept), **self.options.said}

    @property
    def begun(self) -> dict[str, Any]:
        """The same, and the state of files or server: an export that was begun goes on with the same pixels alone."""
        versions = [[uid, self._version(*version)] for uid, version in self.store.name.versions]
        return {**self.identity, "version of the series": versions}

    def _version(self, etag: str | None, last_modified: str | None, _forgotten: int) -> str | None:
        """What tells pixels from those that replaced them under their UIDs, in any process; None where nothing does."""
        if is_folder_url(self._image.series_url):
            return state_in(etag)  # without what else lies there: the target may
        return etag or last_modified  # which counts if there is no other (RFC 9110 section 13.2.2)

    def level(self, taken: Taken) -> Level:
        """The level that an array is taken from."""
        return self._images[taken.image].levels[taken.number]

    def documents(self, arrays: Mapping[LevelPlan, Documents]) -> dict[str, bytes]:
        """Those of groups, by key; the root's last.

        Args:
            arrays: Those of each array.
        """
        return group_documents(
            self.selection.plan,
            identity_of(self.store.root),
            self.options.zarr_format,
            arrays,
            consolidated=not self.kept,
        )

    def _check_absent(self) -> None:
        value = self.options.absent
        if value is None:
            return
        for part in self.selection.parts:
            if part.is_background:
                continue
            kind = part.level.dtype
            is_held = kind.kind == "f" or (
                float(value).is_integer() and np.iinfo(kind).min <= value <= np.iinfo(kind).max  # type: ignore[type-var]  # of integers
            )
            if not is_held:
                raise InvalidOptionError(
                    f"absent={value:g} is no value of {kind} of the array {part.path}.",
                    remedy="Choose one that the pixels of the series can have.",
                )
