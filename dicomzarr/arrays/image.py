"""The public lazy image: levels that index like NumPy and travel by URL."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from dicomzarr.arrays.reading import prefetch_level, read_level, read_orthogonal
from dicomzarr.arrays.thumbnails import overview
from dicomzarr.errors import SeriesChangedError
from dicomzarr.plan import label_path, to_ras
from dicomzarr.runtime.home_loop import run_sync
from dicomzarr.runtime.lazy_attribute import lazy_attribute
from dicomzarr.session.locate import parse_series_url, series_ref
from dicomzarr.session.opening import endpoint_for

if TYPE_CHECKING:
    from collections.abc import Sequence

    import dask.array
    import numpy.typing as npt
    import xarray

    from dicomzarr.dicom.segmentation.segments import Segment
    from dicomzarr.omezarr.series_store import SeriesStore
    from dicomzarr.options import StorageOptions
    from dicomzarr.plan import Affine, Axis, Channel, ImagePlan, LevelPlan
    from dicomzarr.session.registry import Endpoint
    from dicomzarr.sources.urls import SeriesURL

    Pixels = npt.NDArray[np.generic]


class _Held(NamedTuple):
    process: int
    endpoint: Endpoint
    store: SeriesStore


class SeriesHandle:
    """A series by URL and options, and the state in which it is read: that of its first opening, whatever comes.

    It travels by name, and in another process opens in the same state or not at all.

    Args:
        url: The series.
        options: How it is read.
        state: That which it was opened in elsewhere; None for that in which it will be found. See `SeriesStore.state`.
    """

    _held: _Held

    def __init__(self, url: SeriesURL, options: StorageOptions, state: str | None = None) -> None:
        self.url = url
        self.options = options
        self._state = state

    def store(self) -> SeriesStore:
        """The opened series: always the same plan, with what reads by it.

        Raises:
            SeriesChangedError: It was opened elsewhere, and is not what it was.
            DicomZarrError: The series cannot be opened.
        """
        own, process = vars(self), os.getpid()
        if "_held" not in own:
            own.setdefault("_held", self._opened(process))  # the same for all threads that ask at once
        if self._held.process != process:
            endpoint = endpoint_for(self.url.base, self.options)
            self._held = _Held(process, endpoint, self._held.store.served_by(endpoint.scheduler))
        self._held.endpoint.use(self.options)
        return self._held.store

    def _opened(self, process: int) -> _Held:
        endpoint, ref = endpoint_for(self.url.base, self.options), series_ref(self.url)
        if self._state is not None:
            return _Held(process, endpoint, run_sync(endpoint.store_in, ref, self.options, self._state))
        store = endpoint.held(ref, self.options) or run_sync(endpoint.store, ref, self.options)
        return _Held(process, endpoint, store)

    def __reduce__(self) -> tuple[Any, ...]:
        state = self._held.store.state if "_held" in vars(self) else self._state
        return SeriesHandle, (self.url, self.options, state)


class Level:
    """One resolution of an image: a lazy array that reads what is indexed.

    Indexing follows NumPy; each frame that an index touches is fetched and decoded once. Values are the
    stored values, colour as R, G, B along c.

    Args:
        image: The image it belongs to.
        number: 0 for the finest.
    """

    def __init__(self, image: Image, number: int) -> None:
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
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """Number of values."""
        return int(np.prod(self.shape, dtype=np.int64))

    @property
    def nbytes(self) -> int:
        """Bytes that the whole level would take in memory."""
        return self.size * self.dtype.itemsize

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

    def __getitem__(self, index: Any) -> Any:
        return self.read([index])[0]

    def read(self, regions: Sequence[Any]) -> list[Pixels]:
        """Read many regions in one plan: the fast way to read patches.

        Args:
            regions: NumPy indices, one a region.

        Returns:
            An array for each region, of the shape that NumPy gives the index and of the level's ``dtype``.

        Raises:
            IndexError: As NumPy would.
            SeriesChangedError: The series has changed on the server since it was opened.
            ServerError: A frame could not be fetched.
            FrameError: A frame could not be decoded, or is not what the metadata says.
            EventLoopError: It is called on the event loop that it would wait for.
        """
        return read_level(self._image.store.source_of(self._plan), self._plan, regions)

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

    def __array__(
        self,
        dtype: npt.DTypeLike | None = None,
        copy: bool | None = None,  # noqa: FBT001  # NumPy's protocol
    ) -> Pixels:
        if copy is False:
            raise ValueError("A level is read from a server: an array of it is always a copy.")
        pixels: Pixels = np.asarray(self[...], dtype=dtype)
        return pixels

    def __len__(self) -> int:
        return self.shape[0]

    def to_dask(self, chunks: Any = "auto") -> dask.array.Array:
        """A dask array over the level, in blocks of whole frames.

        Args:
            chunks: ``"auto"`` for blocks of up to 2048 pixels along y and x, and of several slices where these are
                smaller; else as dask takes it.

        Returns:
            Of the level's ``shape`` and ``dtype``; each block is read when it is computed.

        Raises:
            ValueError: The chunks do not make up the shape, as dask says.
        """
        from dicomzarr.arrays.blocks import dask_array  # noqa: PLC0415  # dask is heavy, and the command line does without

        return dask_array(self, chunks)

    def __dask_tokenize__(self) -> tuple[object, ...]:
        # The instances say what is read: options and servers can put another image under one path.
        return (*self._identity, list(self._plan.attributes.sop_instance_uids))

    @property
    def _identity(self) -> tuple[object, ...]:
        return (*self._image._identity, self.number)  # noqa: SLF001  # one class in two

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Level) and self._identity == other._identity

    def __hash__(self) -> int:
        return hash(self._identity)

    def __reduce__(self) -> tuple[Any, ...]:
        return Level, (self._image, self.number)

    def __repr__(self) -> str:
        sizes = ", ".join(f"{name}: {size}" for name, size in zip(self.axes, self.shape, strict=True))
        return f"<dicomzarr.Level {self.number} ({sizes}) {self.dtype} in chunks of {self.chunks}>"


class Image:
    """A multiscale image of a series, read lazily.

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
    def cache_bytes(self) -> int:
        """Bytes of encoded frames that are kept in memory."""
        return self._handle.options.cache_bytes

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
    def levels(self) -> tuple[Level, ...]:
        """Resolutions, finest first."""
        return tuple(Level(self, number) for number in range(len(self.plan.levels)))

    def spacing(self, level: Level) -> str:
        """The pixel spacing (y, x) of a level in words, with its unit."""
        unit = self.axes[-1].unit
        if unit is None:
            return "unknown"
        y, x = (f"{step:.6g}" for step in level.scale[-2:])
        return f"{y} {unit}" if x == y else f"{y} x {x} {unit}"

    @property
    def images(self) -> tuple[Image, ...]:
        """All images of the series, this one among them."""
        return tuple(Image(self._handle, path) for path in self.store.plan.image_paths)

    @property
    def associated(self) -> dict[str, Image]:
        """Associated images by name, as ``overview`` and ``thumbnail``."""
        return {path.rpartition("/")[2]: Image(self._handle, path) for path in self.store.plan.associated_paths}

    @property
    def labels(self) -> dict[str, Image]:
        """Segmentations on this image's grid by name, with the option ``labels=True``; values are segment numbers."""
        return {label.name: Image(self._handle, label_path(self.path, label)) for label in self.plan.labels}

    @property
    def segments(self) -> tuple[Segment, ...]:
        """Of a label image: number, name and colour of what its values are."""
        return self.plan.segments

    @property
    def notices(self) -> tuple[str, ...]:
        """What was left out of the series or looks odd."""
        return self.store.plan.notices

    @property
    def in_color(self) -> Image:
        """The image with its palette applied, as people want to see it; itself where there is none."""
        is_indexed = self.plan.levels[0].attributes.photometric_interpretation == "PALETTE COLOR"
        if not is_indexed or self._handle.options.values == "color":
            return self
        options = replace(self._handle.options, values="color")
        return Image(SeriesHandle(self._handle.url, options), self.path)

    def thumbnail(self, size: int = 512) -> npt.NDArray[np.uint8]:
        """The image as R, G, B of at most ``size`` pixels a side, from the coarsest level that serves.

        Args:
            size: Pixels of the longer side.

        Returns:
            Shape (rows, columns, 3).

        Raises:
            UsageError: No level is coarse enough to be read for a thumbnail, or ``size`` is no number of pixels.
            EventLoopError: It is called on the event loop that it would wait for.
            MetadataError: A palette is broken.
            SeriesChangedError: The series has changed on the server since it was opened.
            ServerError: A frame, or a palette that the metadata only name, could not be fetched.
            FrameError: A frame could not be decoded, or is not what the metadata says.
            TemporaryFileError: A whole instance had to be fetched, and the temporary disk did not take it.
        """
        return overview(self, size)

    def to_xarray(self) -> xarray.DataTree:
        """The image with physical coordinates of pixel centres, as xarray decodes files.

        Returns:
            A node for each level, ``0`` the finest, and those of labels below ``labels/NAME``. Each has the variable
            ``image`` of the level's shape and axes; of its ``dtype`` where stored values are what is measured, else of
            32 or 64 bits of floating point. Nothing is read before values are asked for.

        Raises:
            SeriesChangedError: The series has changed on the server since it was opened.
            DicomZarrError: It had to be opened again, as in another process, and cannot be.
        """
        from dicomzarr.arrays.xarray import image_tree  # noqa: PLC0415  # xarray is heavy

        return image_tree(self)

    def __dask_tokenize__(self) -> tuple[object, ...]:
        return (*self._identity, *(list(level.attributes.sop_instance_uids) for level in self.plan.levels))

    @property
    def _identity(self) -> tuple[object, ...]:
        # Two opens of one URL are one image; what identifies the reader is no part of its name.
        options = self._handle.options
        shown = (options.values, options.associated_label, options.labels)
        return ("dicomzarr", self.series_url, self.path, *shown)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Image) and self._identity == other._identity

    def __hash__(self) -> int:
        return hash(self._identity)

    def __reduce__(self) -> tuple[Any, ...]:
        return Image, (self._handle, self.path)

    def __repr__(self) -> str:
        return summary(self)

    def _repr_html_(self) -> str:
        from dicomzarr.arrays.notebook import image_html  # noqa: PLC0415  # only notebooks ask

        return image_html(self)


def open_image(url: str | os.PathLike[str], **storage_options: Any) -> Image:
    """Open a series by URL or path; one metadata request, or the headers of the files.

    Args:
        url: ``dicomwebs://HOST/BASE/studies/<Study>/series/<Series>``, ``dicomweb://`` for plain HTTP, or
            the ``https://`` URL that a server or viewer shows. With ``client``, the path from
            ``studies/`` on is enough. Or a folder of DICOM files that holds one series, one such file, or
            ``dicomfile:///DIR/studies/<Study>/series/<Series>``.
        **storage_options: See `dicomzarr.options.StorageOptions`.

    Returns:
        The first image of the series; ``images`` lists all.

    Raises:
        InvalidURLError: The URL names no series.
        InvalidOptionError: An option is unknown or has an impossible value.
        InsecureTransportError: Credentials would travel over plain HTTP.
        EventLoopError: It is called on the event loop that it would wait for.
        SeriesNotFoundError: The server has no such series.
        FileError: There is no such file or folder, or no series in it.
        UsageError: There are several series in it; they are listed.
        ServerError: The server could not be reached, refused, or did not give the metadata.
        MetadataError: The series holds nothing that can be opened, or its metadata contradict themselves.
        UnsupportedTransferSyntaxError: The metadata name one that cannot be decoded.
        TemporaryFileError: Metadata had to be taken out of a whole instance, and the temporary disk did not take it.
    """
    parsed, options = parse_series_url(url, storage_options)
    handle = SeriesHandle(parsed, options)
    plan = handle.store().plan
    return Image(handle, plan.image_paths[0])


def summary(image: Image) -> str:
    """A few lines that show levels and spacing and identify nobody."""
    levels = image.levels
    lines = [f"<dicomzarr.Image {image.name!r}, {len(levels)} {'level' if len(levels) == 1 else 'levels'}>"]
    for level in levels:
        sizes = " x ".join(map(str, level.shape))
        lines.append(
            f"  {level.number}: ({', '.join(level.axes)}) {sizes} {level.dtype}, spacing {image.spacing(level)}"
        )
    if len(image.images) > 1:
        lines.append(f"  one of {len(image.images)} images of the series")
    if image.associated:
        lines.append(f"  associated: {', '.join(image.associated)}")
    return "\n".join(lines)
