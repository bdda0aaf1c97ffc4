"""The public lazy image: its levels, and what is made of them for people and for xarray."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from dicomzarr.arrays.level import MultiscaleImage
from dicomzarr.arrays.series_handle import SeriesHandle
from dicomzarr.arrays.thumbnails import overview
from dicomzarr.runtime.tracebacks import keeps_secrets
from dicomzarr.session.locate import parse_series_url

if TYPE_CHECKING:
    import os

    import numpy as np
    import numpy.typing as npt
    import xarray


class Image(MultiscaleImage):
    """A multiscale image of a series, read lazily.

    Args:
        handle: The series.
        path: Its group in the series' hierarchy; empty for the root.
    """

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
        return overview(self.in_color, size)

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

    def _repr_html_(self) -> str:
        from dicomzarr.arrays.notebook import image_html  # noqa: PLC0415  # only notebooks ask

        return image_html(self, self.in_color)


@keeps_secrets
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
