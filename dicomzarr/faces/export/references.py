"""``dicomzarr.references``: a series as references to the bytes of its files, which plain zarr reads."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from dicomzarr.arrays.image import Image, opened_at
from dicomzarr.errors import UsageError
from dicomzarr.faces.export.encoded import (
    Coding,
    check_frame,
    check_part,
    check_values,
    coded_documents,
    coding_of,
    present,
    whole_box,
)
from dicomzarr.faces.export.options import parse_options
from dicomzarr.faces.export.reference_files import Reference, check_target, local_target, write_references
from dicomzarr.faces.export.series import Source
from dicomzarr.faces.export.work import WORKERS
from dicomzarr.runtime.home_loop import run_sync
from dicomzarr.runtime.tracebacks import keeps_secrets
from dicomzarr.sources.files.source import FilesSource

if TYPE_CHECKING:
    import os
    from collections.abc import Hashable, Iterable, Mapping

    from dicomzarr.dicom.files.random_access import Span
    from dicomzarr.dicom.instance import FrameRef
    from dicomzarr.engine.source import FrameSource
    from dicomzarr.faces.export.selection import Part
    from dicomzarr.omezarr.hierarchy import Documents
    from dicomzarr.sources.files.whole_frames import WholeFrames


_FORMAT: Final = 3
"""Of Zarr."""


@dataclass(frozen=True, slots=True)
class Referenced:
    """What references were written."""

    target: str
    arrays: int
    frames: int
    codecs: tuple[str, ...]
    """Of imagecodecs, which the reader must have; empty where plain zarr is enough."""


@keeps_secrets
def references(
    url_or_image: str | os.PathLike[str] | Image,
    target: str | os.PathLike[str],
    *,
    levels: Iterable[int] | None = None,
    images: Iterable[str] | None = None,
    overwrite: bool = False,
    **storage_options: Any,
) -> Referenced:
    """Write where the frames of a series in files lie, so that zarr reads them there without dicomzarr.

    Native frames are referred to as they are. Compressed ones, and those whose cells have bits that are no part of a
    value, are each read once: references are written only where Zarr's codecs tell the truth of every frame.

    Args:
        url_or_image: What `dicomzarr.open` takes, or what it gives: that image alone, as with the URL of one.
        target: Ends in ``.json`` for a file of Kerchunk's, in ``.icechunk`` for a repository of Icechunk.
        levels: Numbers of the levels to take; all by default.
        images: Paths of the images to take, as ``info`` lists them; all by default.
        overwrite: Replace what is at the target.
        **storage_options: See `dicomzarr.options.StorageOptions`.

    Returns:
        What was written.

    Raises:
        UsageError: The series is on a DICOMweb server, or its frames cannot be referred to; the text says why.
        DicomZarrError: The series could not be opened or read.
        TargetError: They could not be written.
    """
    path = local_target(target)
    check_target(path, overwrite=overwrite)
    found = found_references(url_or_image, levels=levels, images=images, **storage_options)
    write_references(path, found.documents, found.refs)
    return Referenced(str(path), found.arrays, len(found.refs), found.codecs)


class Found(NamedTuple):
    """All that references say of a series."""

    documents: Documents
    """By key."""
    refs: dict[str, Reference]
    """Those of chunks, by key."""
    arrays: int
    codecs: tuple[str, ...]
    """See `Referenced.codecs`."""


def found_references(
    url_or_image: str | os.PathLike[str] | Image,
    *,
    levels: Iterable[int] | None = None,
    images: Iterable[str] | None = None,
    **storage_options: Any,
) -> Found:
    """What `references` writes; see there.

    Raises:
        UsageError: The series is on a DICOMweb server, or its frames cannot be referred to; the text says why.
        DicomZarrError: The series could not be opened or read.
    """
    options = parse_options("references.zarr", levels=levels, images=images, keep_encoded=True)
    if isinstance(url_or_image, Image):
        image, is_named = url_or_image, True
    else:
        image, is_named = opened_at(url_or_image, storage_options)
    if is_named and images is None:
        options = replace(options, images=(image.path,))
    files = image.source
    if not isinstance(files, FilesSource):
        raise UsageError(
            "References name bytes of files, and this series is on a DICOMweb server, whose replies are none.",
            remedy="Name the files: a folder, a bucket or files on the web. Or export the series.",
        )
    source = Source(image, options)
    arrays = [_Array(part, source.store.source_of(part.whole), files) for part in source.selection.parts]
    refs = {key: each for array in arrays for key, each in array.references().items()}
    _check_names(refs.values())
    of_levels = {array.part.level: array.documents for array in arrays}
    documents = source.documents(of_levels)
    documents |= {f"{each.part.path}/{name}": text for each in arrays for name, text in each.documents.items()}
    codecs = sorted({array.coding.name for array in arrays} - {"bytes"})
    return Found(documents, refs, len(arrays), tuple(codecs))


def _check_names(refs: Iterable[Reference]) -> None:
    """Refuse what no reader of references could open."""
    for url in {each.url for each in refs}:
        if not _is_text(url):
            shown = url.encode("utf-8", "backslashreplace").decode()
            raise UsageError(
                f"References name files by URLs, which are text, and the name of {shown} is none.",
                remedy="Rename it, or export the series.",
            )


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:  # bytes that are no UTF-8
        return False
    return True


class _Array:
    """The references of one array.

    Args:
        part: The array.
        source: Where its frames come from, decoded.
        files: Where they lie.
    """

    def __init__(self, part: Part, source: FrameSource, files: FilesSource) -> None:
        self.part = part
        self.coding = Coding("bytes")
        self._source = source
        self._files = files
        self._known: set[Hashable] = set()
        """Frames like these have been compared with what the array shows."""

    @property
    def documents(self) -> Documents:
        """Those of the array, when its frames are known."""
        return coded_documents(self.part, self.coding, _FORMAT)

    def references(self) -> dict[str, Reference]:
        """Where each chunk lies.

        Raises:
            UsageError: No codec of Zarr is true of one.
            DicomZarrError: One cannot be read.
        """
        check_part(self.part)
        instances: dict[str, dict[str, FrameRef]] = {}
        for key, ref in present(self.part, whole_box(self.part), _FORMAT):
            instances.setdefault(ref.instance.sop_instance_uid, {})[key] = ref
        if not instances:
            return {}
        first = next(iter(instances))
        found = self._of_instance(first, instances.pop(first))  # which tells how the others should be coded
        with ThreadPoolExecutor(WORKERS, "dicomzarr-references") as threads:
            try:
                for more in threads.map(self._of_instance, instances, instances.values()):
                    found |= more
            except BaseException:
                threads.shutdown(wait=False, cancel_futures=True)
                raise
        return found

    def _of_instance(self, uid: str, refs: Mapping[str, FrameRef]) -> dict[str, Reference]:
        frames = self._files.whole_frames(self._source.series, uid)
        file = frames.file.place[0]
        return {key: Reference(frames.url, *self._checked(ref, frames), file) for key, ref in refs.items()}

    def _checked(self, ref: FrameRef, frames: WholeFrames) -> Span:
        """Where a frame lies, which decodes to what the array shows."""
        pixel = ref.instance.pixel
        own = frames.layout, frames.stored.frames.transfer_syntax_uid, pixel
        is_known = own in self._known
        all_bits = pixel.floating or pixel.bits_stored == pixel.bits_allocated
        if is_known and all_bits and frames.layout is not None:
            return frames.place(ref.number)
        span, frame = frames.read(ref.number)
        if not self._known:
            self.coding = coding_of(frame, pixel, self.part.path)
        check_frame(frame, ref, self.part, self.coding)
        if not is_known:
            level = self.part.whole
            shown = np.frombuffer(run_sync(self._source.chunk, ref, level), level.dtype)
            check_values(self.coding, frame, pixel, shown.reshape(pixel.shape), self.part.path)
            self._known.add(own)
        return span
