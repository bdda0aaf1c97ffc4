"""The public lazy image: its levels, and what is made of them for people and for xarray."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

from dicomzarr.arrays import resolutions
from dicomzarr.arrays.level import MultiscaleImage
from dicomzarr.arrays.regions import RegionRequest, read_regions
from dicomzarr.arrays.same_frames import shown_with
from dicomzarr.arrays.series_handle import SeriesHandle
from dicomzarr.arrays.thumbnails import overview
from dicomzarr.errors import InvalidURLError, SeriesChangedError, UsageError
from dicomzarr.options.parsing import parse_options
from dicomzarr.runtime.lazy_attribute import lazy_attribute
from dicomzarr.runtime.tracebacks import keeps_secrets
from dicomzarr.session.locate import parse_image_url

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Mapping, Sequence

    import numpy as np
    import numpy.typing as npt
    import xarray

    from dicomzarr.arrays.level import Level
    from dicomzarr.arrays.resolutions import Resolution
    from dicomzarr.arrays.volume.contours import Structures
    from dicomzarr.arrays.volume.label_map import LabelMap
    from dicomzarr.options import StorageOptions
    from dicomzarr.session.kinds import SeriesURL

    Pixels = npt.NDArray[np.generic]


_SRGB = "srgb"
_MOST_LISTED = 20


class Image(MultiscaleImage):
    """A multiscale image of a series, read lazily.

    Args:
        handle: The series.
        path: Its group in the series' hierarchy; empty for the root.
    """

    @property
    def in_color(self) -> Image:
        """The image with its palette applied, as people want to see it; itself where there is none."""
        return self._as("color") if self.plan.is_indexed else self

    def _drawn(self) -> Image:
        """The image as it is drawn, where nobody asked for other values; itself where the rest is other images then."""
        values = self.plan.drawn_as
        if values != "modality":
            return self.in_color
        if self.view.values != "stored":
            return self
        try:
            return shown_with(self, replace(self._handle.options, values=values))
        except UsageError:
            return self

    def _as(self, values: Literal["color", "modality"]) -> Image:
        if self._handle.options.values == values:
            return self
        return Image(SeriesHandle(self._handle.url, replace(self._handle.options, values=values)), self.path)

    @property
    def mpp(self) -> tuple[float, float] | None:
        """Micrometres a pixel of level 0, along x and y; None where DICOM gives none, or the image is no slide."""
        return self.levels[0].mpp

    @property
    def magnification(self) -> float | None:
        """ObjectiveLensPower (0048,0112) of the first optical path that has one, as 20.0; None where none has."""
        return self.plan.attributes.objective_power

    @property
    def icc_profile(self) -> bytes | None:
        """The bytes of the ICC profile of level 0 as they are stored, which its stored colours go by; None without one.

        Raises:
            ServerError: The metadata only name it, and the server did not give it.
            FileError: Likewise of a file.
            MetadataError: It is broken.
            EventLoopError: It is called on the event loop that it would wait for.
        """
        profile = self.plan.levels[0].attributes.icc_profile
        if profile is None:
            return None
        uri = profile.uri
        return profile.content(None if uri is None else self._handle.bulk_data(uri, profile.instance))

    @lazy_attribute
    def in_srgb(self) -> Image:
        """The image with its colours in sRGB by its ICC profile; itself where it is opened so.

        Raises:
            SeriesChangedError: The series has changed since it was opened.
            DicomZarrError: The profile cannot be had, or is broken; or Pillow is not installed.
        """
        handle = self._handle
        if handle.options.icc == _SRGB:
            return self
        managed = SeriesHandle(handle.url, replace(handle.options, icc=_SRGB))
        if managed.store().frames_state != handle.store().frames_state:
            raise SeriesChangedError(
                f"{self.series_url} is not what it was when it was opened.", remedy="Open it again."
            )
        return Image(managed, self.path)

    def _by_icc(self, icc: str | None) -> Image:
        parse_options({"icc": icc})
        return self if icc is None else self.in_srgb

    def level_for(self, *, mpp: Resolution) -> Level:
        """The coarsest level that is as fine as a resolution: what regions of that resolution are made of.

        Args:
            mpp: Micrometres a pixel, one number or (x, y). A level that is up to 1 % coarser serves.

        Returns:
            The finest level, where even that is coarser.

        Raises:
            UsageError: It is no resolution, or nothing says how large pixels are.
        """
        return self.levels[resolutions.level_number(self.plan, mpp)]

    def read_region(  # noqa: PLR0913  # each may be asked for
        self,
        position: tuple[float, float],
        size: int | tuple[int, int],
        *openslide: Any,
        mpp: Resolution | None = None,
        level: Level | int | None = None,
        pad: bool = True,
        fill: Any = None,
        z: int | None = None,
        icc: str | None = None,
    ) -> Pixels:
        """Read one region of a slide; `read_regions` reads many faster.

        Args:
            position: (x, y) of its upper left corner, in pixels of level 0, whatever the resolution.
            size: (width, height) in pixels of the result, or one number for a square.
            *openslide: Nothing: whoever gives the level and the size in OpenSlide's order is told this one.
            mpp: Micrometres a pixel of the result, one number or (x, y): it is made of `level_for`, by averaging
                areas, and what that lacks of level 0 of the next finer level that has it. Where a level has it but for
                0.1 %, the pixels of that level as they are. Finer than level 0 is interpolated between pixels, with
                an `UpsampledWarning` from 10 % on.
            level: A level, or its number, whose pixels are given as they are; without ``mpp``, level 0. The corner is
                put on its nearest pixel.
            pad: Fill what lies beyond the edges; False leaves it out, with every pixel less than half of which lies
                within, so that the result may be smaller, or have no pixels.
            fill: What lies beyond the edges: one value, or one for each channel; None for what the slide has for
                places without a tile, white in brightfield and 0 else. Pixels across an edge get their share of it.
            z: The focal plane; None for the middle one.
            icc: ``"srgb"`` for colours in sRGB, by the slide's ICC profile; needs ``dicomzarr[color]``. Stored colours
                are turned into it before they are averaged. ``fill`` is taken as it is.

        Returns:
            Shape (height, width, 3), or (height, width, channels) of fluorescence, or (height, width) of an image
            without channels; of the slide's ``dtype``. Of segmentations and palettes no means are taken: each pixel
            is the one in its middle.

        Raises:
            UsageError: The image is no slide, something is impossible, or ``mpp`` and ``level`` are both given.
            SeriesChangedError: The series has changed on the server since it was opened.
            ServerError: A frame could not be fetched.
            FrameError: A frame could not be decoded, or is not what the metadata says.
            EventLoopError: It is called on the event loop that it would wait for.
        """
        if openslide:
            raise UsageError(
                "read_region takes a position and a size; OpenSlide's order is position, level, size.",
                remedy="Write read_region((x, y), (width, height), level=0), or use dicomzarr.openslide.OpenSlide.",
            )
        return read_regions(self._by_icc(icc), [position], RegionRequest(size, mpp, level, pad, fill, z))[0]

    def read_regions(  # noqa: PLR0913  # each may be asked for
        self,
        positions: Sequence[tuple[float, float]],
        size: int | tuple[int, int],
        *,
        mpp: Resolution | None = None,
        level: Level | int | None = None,
        pad: bool = True,
        fill: Any = None,
        z: int | None = None,
        icc: str | None = None,
    ) -> list[Pixels]:
        """Read many regions of one size in one plan: each frame that they touch is fetched once.

        Args:
            positions: (x, y) of the upper left corner of each, in pixels of level 0.
            size: As for `read_region`, and so are the others.
            mpp: Likewise.
            level: Likewise.
            pad: Likewise.
            fill: Likewise.
            z: Likewise.
            icc: Likewise.

        Returns:
            An array for each region, as `read_region` gives it.

        Raises:
            DicomZarrError: As `read_region`.
        """
        return read_regions(self._by_icc(icc), positions, RegionRequest(size, mpp, level, pad, fill, z))

    def thumbnail(self, size: int = 512, *, icc: str | None = None) -> npt.NDArray[np.uint8]:
        """The image as R, G, B of at most ``size`` pixels a side, from the coarsest level that serves.

        Args:
            size: Pixels of the longer side.
            icc: ``"srgb"`` for colours in sRGB, by the slide's ICC profile; needs ``dicomzarr[color]``.

        Returns:
            Shape (rows, columns, 3).

        Raises:
            UsageError: No level is coarse enough to be read for a thumbnail, or ``size`` is no number of pixels.
            EventLoopError: It is called on the event loop that it would wait for.
            MetadataError: A palette, or the table of a Modality LUT, is broken.
            SeriesChangedError: The series has changed on the server since it was opened.
            ServerError: A frame, or a table that the metadata only name, could not be fetched.
            FrameError: A frame could not be decoded, or is not what the metadata says.
            TemporaryFileError: A whole instance had to be fetched, and the temporary disk did not take it.
        """
        return overview(self._by_icc(icc)._drawn(), size)  # noqa: SLF001  # of the same class

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

    def to_sitk(self, *, time: int | None = None, channel: int | None = None, absent: float | None = None) -> Any:
        """The finest level as a ``SimpleITK.Image``, read now: values of the modality, in LPS millimetres.

        Args:
            time: The index along t to take, -1 for the last, as NumPy counts; by default all of them, as a fourth axis.
            channel: The index along c to take, likewise; by default all of them, which only colours and diffusion can
                be.
            absent: What absent slices are filled with.

        Returns:
            An image of x, y, z, or x, y, z, t. A sheared volume has directions that are at no right angle.

        Raises:
            UsageError: SimpleITK is not installed, or the image is no volume, as one with uneven or absent slices; the
                text says why.
            DicomZarrError: A frame could not be had.
        """
        from dicomzarr.arrays.volume.itk import to_sitk  # noqa: PLC0415  # few want it, here and below

        return to_sitk(self, time=time, channel=channel, absent=absent)

    def to_nibabel(self, *, time: int | None = None, channel: int | None = None, absent: float | None = None) -> Any:
        """The finest level as a ``nibabel.Nifti1Image``, read now: values of the modality, in RAS millimetres.

        Args:
            time: As for `to_sitk`.
            channel: Likewise.
            absent: Likewise.

        Returns:
            An image of x, y, z, or x, y, z, t; t counts diffusion where that is what there is several of.

        Raises:
            UsageError: nibabel is not installed, or the image is no volume; the text says why.
            DicomZarrError: A frame could not be had.
        """
        from dicomzarr.arrays.volume.nifti import to_nibabel  # noqa: PLC0415

        return to_nibabel(self, time=time, channel=channel, absent=absent)

    def to_nifti(
        self,
        path: str | os.PathLike[str],
        *,
        time: int | None = None,
        channel: int | None = None,
        absent: float | None = None,
        overwrite: bool = False,
    ) -> None:
        """Write the finest level as a file of NIfTI, read at once; `dicomzarr.export` writes piece by piece.

        Values are those of the modality. A shear goes into the sform. Of diffusion, ``.bval`` and ``.bvec`` lie beside
        the file, as FSL reads them.

        Args:
            path: Ends in ``.nii``, or in ``.nii.gz`` for a compressed one.
            time: As for `to_sitk`.
            channel: Likewise.
            absent: Likewise.
            overwrite: Replace what is there.

        Raises:
            UsageError: nibabel is not installed, the image is no volume (the text says why), or there is something at
                the path.
            TargetError: The file could not be written.
            DicomZarrError: A frame could not be had.
        """
        from dicomzarr.arrays.volume.nifti import to_nifti  # noqa: PLC0415

        to_nifti(self, path, time=time, channel=channel, absent=absent, overwrite=overwrite)

    def opened_with(self, **storage_options: Any) -> Image:
        """The same image, opened with its own options and others.

        Other ``values`` can make other images of the series: then it is that of the same frames, and another ``path``.

        Args:
            **storage_options: See `dicomzarr.options.StorageOptions`.

        Raises:
            InvalidOptionError: An option is unknown or has an impossible value.
            UsageError: With other values its frames are not one image, or others' too.
            SeriesChangedError: With other values: the series has changed since it was opened.
            DicomZarrError: Likewise: it cannot be opened.
        """
        return shown_with(self, replace(self._handle.options, **parse_options(storage_options)))

    def label_map(
        self,
        names: Iterable[str] | None = None,
        *,
        segmentation: str | os.PathLike[str] | Image | None = None,
        resample: bool = False,
        overlap: Literal["refuse", "first", "last"] = "refuse",
    ) -> LabelMap:
        """Segments of the study as one array of numbers on this image's grid, read now.

        Args:
            names: The names of the segments to take, or a number for each, as ``{"Liver": 1}``; all by default, by
                their own numbers.
            segmentation: The segmentation to take, or its URL; by default those of the study that refer to the series,
                or the image itself if it is one.
            resample: Take those on other grids too: of each voxel, the nearest of theirs by both affines.
            overlap: Which of two segments counts where both are, or that this is refused.

        Raises:
            UsageError: There is no such segment, or one in each of several segmentations, segments overlap, the image
                is no volume, or a segmentation lies on another grid or in another frame of reference.
            DicomZarrError: A frame could not be had, or a segmentation not be opened.
        """
        from dicomzarr.arrays.volume.segments import label_map  # noqa: PLC0415

        return label_map(self, names=names, segmentation=segmentation, resample=resample, overlap=overlap)

    def contours(self, structure_set: str | os.PathLike[str]) -> Structures:
        """The regions of interest of a structure set (RTSTRUCT) on this image's grid; read with the image's options.

        Args:
            structure_set: The URL of its series.

        Returns:
            The regions, by place or by name: their contours, their masks, or all in one label map.

        Raises:
            UsageError: The URL names no series, or the image is no volume.
            UnsupportedSeriesError: There is no structure set in the series.
            DicomZarrError: It could not be had, or not be read.
        """
        from dicomzarr.arrays.volume.contours import contours_of  # noqa: PLC0415

        return contours_of(self, structure_set)

    def to_spatialdata(self, *, time: int | None = None) -> Any:
        """The image and its labels as a ``spatialdata.SpatialData``; nothing is read before values are asked for.

        Args:
            time: The index along t to take, where there are times.

        Returns:
            One multiscale image of all levels that show all of level 0, and its labels. ``global`` counts pixels of the
            finest level; ``micrometer`` or ``millimeter`` begin at its corner; ``patient`` is LPS millimetres, of the
            time that is taken where times have poses of their own.

        Raises:
            UsageError: spatialdata is not installed, there are several times and none is chosen, or that is not there.
        """
        from dicomzarr.arrays.spatial import spatial_data  # noqa: PLC0415  # few want it

        return spatial_data(self, time)

    def _repr_html_(self) -> str:
        from dicomzarr.arrays.notebook import image_html  # noqa: PLC0415  # only notebooks ask

        return image_html(self, self._drawn)


@keeps_secrets
def open_image(url: str | os.PathLike[str], **storage_options: Any) -> Image:
    """Open a series by URL or path; one metadata request, or the headers of the files.

    Args:
        url: ``dicomwebs://HOST/BASE/studies/<Study>/series/<Series>``, ``dicomweb://`` for plain HTTP, or
            the ``https://`` URL that a server or viewer shows. With ``client``, the path from
            ``studies/`` on is enough. Or files that hold one series: a folder, a file, a zip or tar, ``s3://`` or
            ``gs://``, ``https://`` of files, ``idc:<SeriesInstanceUID>``, or
            ``dicomfile:///DIR/studies/<Study>/series/<Series>``. A URL may go on with the path of an image, as that of
            an image does.
        **storage_options: See `dicomzarr.options.StorageOptions`.

    Returns:
        The image that the URL names, or the first of the series; ``images`` lists all.

    Raises:
        InvalidURLError: The URL names no series, or nothing that is an image of it.
        InvalidOptionError: An option is unknown or has an impossible value.
        InsecureTransportError: Credentials would travel over plain HTTP.
        EventLoopError: It is called on the event loop that it would wait for.
        SeriesNotFoundError: The server has no such series.
        FileError: There is no such file or folder, or no series in it.
        SeveralSeriesError: There are several series in it, or the URL is that of a study; ``choices`` lists them.
        ServerError: The server could not be reached, refused, or did not give the metadata.
        MetadataError: The series holds nothing that can be opened, or its metadata contradict themselves.
        UnsupportedTransferSyntaxError: The metadata name one that cannot be decoded.
        TemporaryFileError: Metadata had to be taken out of a whole instance, and the temporary disk did not take it.
    """
    return opened_at(url, storage_options)[0]


def opened_at(place: object, storage_options: Mapping[str, Any]) -> tuple[Image, bool]:
    """The image that a URL names, or the first of its series, and whether the URL names it; see `open_image`."""
    url, options = parse_image_url(place, storage_options)
    if not url.key:
        return first_image(url, options), False
    image = first_image(replace(url, key=""), options)
    plan, path = image.store.plan, url.key.strip("/")
    if path not in plan.by_path:
        images = ", ".join([each for each in plan.by_path if each][:_MOST_LISTED])
        raise InvalidURLError(
            f"{url} names no image of series {url.series}.",
            remedy=f"End the URL after the series{f', or after one of its images: {images}' if images else ''}.",
        )
    return Image(image._handle, path), True  # noqa: SLF001  # of its own class


def first_image(url: SeriesURL, options: StorageOptions) -> Image:
    """The first image of a series; see `open_image`."""
    handle = SeriesHandle(url, options)
    plan = handle.store().plan
    return Image(handle, plan.image_paths[0])
