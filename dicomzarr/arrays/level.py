"""Levels that index like NumPy and travel by URL, and the image that they are of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from dicomzarr.arrays import resolutions
from dicomzarr.arrays.describing import framed, level_summary, levels_table, steps, summary
from dicomzarr.arrays.numpy_methods import NumPyMethods
from dicomzarr.arrays.progress import watching
from dicomzarr.arrays.reading import prefetch_level, read_level, read_orthogonal, stream_level
from dicomzarr.errors import SeriesChangedError, UsageError
from dicomzarr.plan import label_path, to_ras
from dicomzarr.runtime.lazy_attribute import lazy_attribute
from dicomzarr.session.locate import series_ref

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from concurrent.futures import Future
    from typing import Self

    import dask.array
    import numpy.typing as npt

    from dicomzarr.arrays.metadata import InstanceMetadata
    from dicomzarr.arrays.progress import Progress
    from dicomzarr.arrays.series_handle import SeriesHandle
    from dicomzarr.dicom.segmentation import Segment
    from dicomzarr.engine.ports import SeriesSource
    from dicomzarr.omezarr.series_store import SeriesStore
    from dicomzarr.options import View
    from dicomzarr.plan import Affine, Axis, Channel, ImagePlan, LevelPlan

    Pixels = npt.NDArray[np.generic]


class Level(NumPyMethods):
    """One resolution of an image: a lazy array that reads what is indexed.

    Indexing follows NumPy; each frame that an index touches is fetched and decoded once. Values are the
    stored values, colour as R, G, B along c.

    Args:
        image: The image it belongs to.
        number: 0 for the finest.
    """

    def __init__(self, image: MultiscaleImage, number: int) -> None:
        self._image = image
        self.number = number

    @property
    def _plan(self) -> LevelPlan:
        return self._image.plan.levels[self.number]

    @property
    def shape(self) -> tuple[int, ...]:
        """Sizes along ``axes``."""
        return self._plan.shape

    @property
    def chunks(self) -> tuple[int, ...]:
        """Shape of one chunk: one frame."""
        return self._plan.chunks

    @property
    def dtype(self) -> np.dtype[np.generic]:
        """Type of the stored values, little-endian."""
        return self._plan.dtype

    @property
    def axes(self) -> tuple[str, ...]:
        """Axis names, a subset of t, c, z, y, x in that order."""
        return tuple(axis.name for axis in self._image.axes)

    @property
    def scale(self) -> tuple[float, ...]:
        """Step along each axis, in the units of ``image.axes``."""
        return self._plan.scale

    @property
    def translation(self) -> tuple[float, ...]:
        """Centre of the first pixel, per axis, in its unit: relative to level 0's; in LPS if the axes are LPS's."""
        return self._plan.translation

    @property
    def downsample(self) -> float:
        """Pixels of level 0 that one of this level is wide, as OpenSlide's ``level_downsamples``; mean of x and y."""
        return resolutions.downsample(self._image.plan, self._plan)

    @property
    def is_virtual(self) -> bool:
        """The slide lacks it, and it is made of the next finer one; see the option ``virtual_levels``."""
        return self._plan.reduction is not None

    @property
    def mpp(self) -> tuple[float, float] | None:
        """Micrometres a pixel along x and y; None where DICOM gives none in micrometres."""
        return resolutions.level_mpp(self._image.plan, self._plan)

    def __getitem__(self, index: Any) -> Any:
        return self.read([index])[0]

    def to_numpy(self, *, progress: Progress = False) -> Pixels:
        """All of the level.

        Args:
            progress: As for `read`.

        Returns:
            Of the level's ``shape`` and ``dtype``.

        Raises:
            DicomZarrError: As `read`.
        """
        return self.read([...], progress=progress)[0]

    def read(self, regions: Sequence[Any], *, order: str | None = None, progress: Progress = False) -> list[Pixels]:
        """Read many regions in one plan: the fast way to read patches.

        Args:
            regions: NumPy indices, one a region.
            order: All of ``axes`` in another order: ``"yxc"`` gives colour pixel by pixel, as pictures have it, and is
                faster where codecs give it so. Regions are slices and integers then, and axes that integers take away
                are left out.
            progress: True shows a bar with frames, megabytes of pixels, rate and time left; a function is told of
                each frame, see `dicomzarr.progress`.

        Returns:
            An array for each region, of the shape that NumPy gives the index, its axes in ``order``, and of the
            level's ``dtype``.

        Raises:
            UsageError: The order does not name each axis once.
            IndexError: As NumPy would; or an order goes with a region that has more than slices and integers.
            SeriesChangedError: The series has changed on the server since it was opened.
            ServerError: A frame could not be fetched.
            FrameError: A frame could not be decoded, or is not what the metadata says.
            EventLoopError: It is called on the event loop that it would wait for, or in a function that a read calls.
        """
        layout = None if order is None else self._layout(order)
        with watching(progress) as own:
            return read_level(self._image.store.source_of(self._plan), self._plan, regions, layout, own)

    def _layout(self, order: str) -> tuple[int, ...]:
        """The numbers of the axes in an order."""
        if sorted(order) != sorted(self.axes):
            raise UsageError(
                f"The order {order!r:.40} was asked for, and the axes are {', '.join(self.axes)}.",
                remedy=f"Name each of them once, as in {''.join(self.axes)!r}.",
            )
        return tuple(map(self.axes.index, order))

    def prefetch(self, regions: Sequence[Any]) -> None:
        """Fetch what may be read next into memory, behind all that is being read now; returns at once.

        A later call takes the place of an earlier one, as far as that has not been asked for yet.
        What cannot be had is told to whoever reads it. Nothing is fetched that ``cache_bytes`` would not hold
        uncompressed.

        Args:
            regions: NumPy indices, one a region.

        Raises:
            IndexError: As NumPy would.
        """
        prefetch_level(self._image.store.source_of(self._plan), self._plan, regions, self._image.cache_bytes)

    def stream(
        self,
        chunks: Sequence[tuple[int, ...]],
        place: Callable[[tuple[int, ...], Pixels], None],
        failed: Callable[[tuple[int, ...], BaseException], None],
    ) -> Future[None]:
        """Begin to read chunks, each of which is handed on as it comes, and return at once: for viewers.

        Args:
            chunks: Chunk indices, those that are wanted first first.
            place: Called with the indices of a chunk and its values, of shape ``chunks``, which are valid until it
                returns; mostly in a decode thread: it must not read, which is an `EventLoopError`.
            failed: Called with the indices of a chunk that cannot be had and the error, on the event loop of fsspec:
                it must not read. The others still come, unless it raises: that ends the stream.

        Returns:
            Done when all have come or failed; ``cancel()`` gives up those that have not.

        Raises:
            IndexError: There is no such chunk: indices count from 0, one an axis.
            SeriesChangedError: The series has changed on the server since it was opened.
        """
        return stream_level(self._image.store.source_of(self._plan), self._plan, chunks, place, failed)

    def read_orthogonal(self, index: Any) -> Pixels:
        """Read an index that takes each axis on its own, as zarr's ``oindex``.

        Args:
            index: Integers, slices and 1-D arrays of integers or truth values, one an axis.

        Returns:
            An array of the level's ``dtype``, with an axis for each slice and array, in the order of the level's; its
            length is the number of places that the slice or array takes.

        Raises:
            IndexError: An axis is indexed by something else, or beyond its end.
            SeriesChangedError: The series has changed on the server since it was opened.
            ServerError: A frame could not be fetched.
            FrameError: A frame could not be decoded, or is not what the metadata says.
        """
        return read_orthogonal(self._image.store.source_of(self._plan), self._plan, index)

    def to_dask(self, chunks: Any = "auto") -> dask.array.Array:
        """A dask array over the level, in blocks of whole frames.

        Args:
            chunks: ``"auto"`` for blocks of up to 2048 pixels along y and x, and of several slices where these are
                smaller; else as dask takes it, and by the names of axes, as ``{"y": 512}``.

        Returns:
            Of the level's ``shape`` and ``dtype``; each block is read when it is computed.

        Raises:
            ValueError: The chunks do not make up the shape, as dask says.
            UsageError: There is no such axis.
        """
        from dicomzarr.arrays.blocks import dask_array  # noqa: PLC0415  # dask is heavy, and the command line does without

        return dask_array(self, chunks)

    def __dask_tokenize__(self) -> tuple[object, ...]:
        # What is read says it: options, users and servers can put another image under one path.
        return (*self._identity, self._image.store.name)

    @property
    def _identity(self) -> tuple[object, ...]:
        return (*self._image._identity, self.number)  # noqa: SLF001  # one class in two

    def __reduce__(self) -> tuple[Any, ...]:
        return Level, (self._image, self.number)

    def __repr__(self) -> str:
        return level_summary(self._image.plan, self.number)

    def _repr_html_(self) -> str:
        plan = self._image.plan
        return framed(f"Level {self.number} of {plan.name!r}", levels_table(plan, [self.number]))


class MultiscaleImage(NumPyMethods):
    """The levels of an image of a series, and what its plan says of them; as an array, it is its finest level.

    Args:
        handle: The series.
        path: Its group in the series' hierarchy; empty for the root.
    """

    def __init__(self, handle: SeriesHandle, path: str = "") -> None:
        self._handle = handle
        self.path = path

    @property
    def store(self) -> SeriesStore:
        """The virtual Zarr store of the series."""
        return self._handle.store()

    @property
    def source(self) -> SeriesSource:
        """Where the series comes from: a server, or a place of files."""
        return self._handle.source

    @property
    def cache_bytes(self) -> int:
        """Bytes of encoded frames that are kept in memory."""
        return self._handle.options.cache_bytes

    @property
    def view(self) -> View:
        """What of the series is shown, and as which values."""
        return self._handle.options.view

    @property
    def url(self) -> str:
        """The URL of the image's group: what zarr, xarray and fsspec open."""
        return f"{self.series_url}/{self.path}" if self.path else self.series_url

    @property
    def series_url(self) -> str:
        """The URL of the series, without credentials."""
        return str(self._handle.url)

    @lazy_attribute
    def plan(self) -> ImagePlan:
        """The multiscale plan that the arrays follow.

        Raises:
            SeriesChangedError: The series has no such image any more.
        """
        try:
            return self.store.plan.at(self.path)
        except KeyError:
            raise SeriesChangedError(
                f"{self.series_url} has no image {self.path!r} any more.", remedy="Open the series again."
            ) from None

    @property
    def name(self) -> str:
        """A short name: ``slide``, ``overview``."""
        return self.plan.name

    @property
    def axes(self) -> tuple[Axis, ...]:
        """Axes in array order, with type and unit."""
        return self.plan.axes

    @property
    def channels(self) -> tuple[Channel, ...]:
        """Name, colour and window of each channel."""
        return self.plan.channels

    @property
    def affine(self) -> Affine | None:
        """(column, row, slice, 1) of level 0 to millimetres; None where DICOM gives no geometry.

        For slides, into the slide coordinate system (PS3.3 section C.8.12.2.1.1).
        """
        return self.plan.affine

    @property
    def affine_ras(self) -> Affine | None:
        """`affine` into RAS millimetres, the axes of NIfTI: x to the right, y to the front."""
        return None if self.affine is None else to_ras(self.affine)

    @property
    def shape(self) -> tuple[int, ...]:
        """Sizes of the finest level along its axes."""
        return self.levels[0].shape

    @property
    def dtype(self) -> np.dtype[np.generic]:
        """Type of the values, little-endian."""
        return self.levels[0].dtype

    def __getitem__(self, index: Any) -> Any:
        return self.levels[0][index]

    def to_numpy(self, *, progress: Progress = False) -> Pixels:
        """All of the finest level; see `Level.to_numpy`."""
        return self.levels[0].to_numpy(progress=progress)

    def to_dask(self, chunks: Any = "auto") -> dask.array.Array:
        """A dask array over the finest level; see `Level.to_dask`."""
        return self.levels[0].to_dask(chunks)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing is held open that has to be closed: connections are shared, and close by themselves."""

    @property
    def levels(self) -> tuple[Level, ...]:
        """Resolutions, finest first."""
        return tuple(Level(self, number) for number in range(len(self.plan.levels)))

    def spacing(self, level: Level) -> str:
        """The step of a level along every axis that has a unit, in words: ``0.5 micrometer``."""
        return steps(self.axes, level.scale)

    @property
    def images(self) -> tuple[Self, ...]:
        """All images of the series, this one among them."""
        return tuple(type(self)(self._handle, path) for path in self.store.plan.image_paths)

    @property
    def associated(self) -> dict[str, Self]:
        """Associated images by name, as ``overview`` and ``thumbnail``."""
        return {path.rpartition("/")[2]: type(self)(self._handle, path) for path in self.store.plan.associated_paths}

    @property
    def labels(self) -> dict[str, Self]:
        """Segmentations on this image's grid, with the option ``labels=True``; values are segment numbers.

        By their names in the hierarchy; the name of a segment is taken too, where only one label has it.
        """
        from dicomzarr.arrays.named_labels import Labels  # noqa: PLC0415  # few ask

        labels = self.plan.labels
        return Labels({label.name: type(self)(self._handle, label_path(self.path, label)) for label in labels})

    @property
    def segments(self) -> tuple[Segment, ...]:
        """Of a label image: number, name and colour of what its values are."""
        return self.plan.segments

    @property
    def notices(self) -> tuple[str, ...]:
        """What was left out of the series or looks odd."""
        return self.store.plan.notices

    @property
    def attributes(self) -> dict[str, Any]:
        """What the image's group says under ``dicomzarr``: rescale, units, windows, coordinates, absent slices, ...

        Codes and numbers that identify nobody; see "What is written".
        """
        from dicomzarr.arrays.metadata import group_attributes  # noqa: PLC0415  # few ask

        return group_attributes(self.store, self.path)

    @lazy_attribute
    def metadata(self) -> InstanceMetadata:
        """The attributes of the image's instances as pydicom's Datasets, by SOP Instance UID, without pixels.

        A request is sent when the first of them is looked at. What identifies the patient is not there without the
        option ``include_phi``.
        """
        from dicomzarr.arrays.metadata import InstanceMetadata  # noqa: PLC0415  # few ask

        ref, levels = series_ref(self._handle.url), self.plan.levels
        ref = ref._replace(series=levels[0].series or ref.series)
        in_patient = self.plan.attributes.affine_reference == "patient"  # tiles of a slide have no such order
        places = np.ndindex(levels[0].grid[:-2]) if in_patient else ()
        frames = (levels[0].frames.locate((*index, 0, 0)) for index in places)
        uids = [frame.instance.sop_instance_uid for frame in frames if frame is not None]
        uids += [uid for level in levels for uid in level.attributes.sop_instance_uids]
        return InstanceMetadata(self._handle, ref, uids, include_phi=self.view.include_phi)

    def __dask_tokenize__(self) -> tuple[object, ...]:
        return (*self._identity, self.store.name)

    @property
    def _identity(self) -> tuple[object, ...]:
        # Two opens of one URL are one image, to those whom the server takes for the same.
        options = self._handle.options
        shown = (options.values, options.icc, options.virtual_levels, options.associated_label, options.labels)
        return ("dicomzarr", self.series_url, self.path, *shown, options.access.asker)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self._handle, self.path)

    def __repr__(self) -> str:
        return summary(self.plan, self.store.plan)
