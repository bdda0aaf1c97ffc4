"""URLs and paths, as people give them, to the layers of their series."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from dicomzarr.arrays import open_image
from dicomzarr.dicom.model.plain_json import first_text
from dicomzarr.errors import AuthenticationError, InvalidURLError, ServerError, UsageError
from dicomzarr.faces.napari.layers import layers_of
from dicomzarr.options import StorageOptions
from dicomzarr.runtime.home_loop import run_sync
from dicomzarr.session.locate import located, only_series
from dicomzarr.session.opening import endpoint_for
from dicomzarr.sources.files.urls import FolderURL
from dicomzarr.sources.http.urls import host_of, pasted, split_user_info

if TYPE_CHECKING:
    from dicomzarr.arrays import Image
    from dicomzarr.faces.napari.layers import LayerData
    from dicomzarr.session.kinds import SeriesURL

_MOST_SERIES: Final = 8
"""Of a folder that are opened at once."""

_MOST_IMAGES: Final = 8
"""Of a series that are shown at once."""

_MODALITY: Final = "00080060"
_SERIES: Final = "0020000E"
_STUDY: Final = "0020000D"

_signed_in: dict[str, dict[str, Any]] = {}
"""Storage options by the host that they are for; in this process alone."""


def sign_in(place: str, user: str, password: str) -> None:
    """Use credentials for whatever is opened from a server until the process ends.

    Args:
        place: Any URL of the server.
        user: Who asks.
        password: Of the user.
    """
    _signed_in[host_of(pasted(place))] = {"auth": (user, password)}


def options_for(place: object) -> dict[str, Any]:
    """Storage options for a URL, as `sign_in` was told them."""
    return dict(_signed_in.get(host_of(str(place)), {}))


def find(text: str) -> SeriesURL:
    """What a URL or path names; a server may be asked what it is.

    Raises:
        InvalidURLError: It names nothing of the kind.
        ServerError: The server did not answer.
    """
    bare, user = split_user_info(pasted(text))
    if user is not None:
        sign_in(bare, *user)
    return located(text if user is None else bare, options_for(bare))[0]


def series_in(text: str) -> list[SeriesURL]:
    """The series that a URL or path names; of files all, but for segmentations, which belong to others.

    Raises:
        InvalidURLError: It names no series.
        UsageError: There are too many in the files to open them all.
        FileError: There is none, or no such folder.
    """
    url = find(text)
    if url.series is not None:
        return [url]
    if not isinstance(url, FolderURL):
        raise InvalidURLError(f"{url} names no series.", remedy="Plugins > Browse DICOM lists what the server holds.")
    source = endpoint_for(url.base, StorageOptions.parse()).source
    found = run_sync(source.search, "series" if url.study is None else f"studies/{url.study}/series", {})
    shown = [result for result in found if first_text(result, _MODALITY) != "SEG"] or found
    if not shown:
        return [only_series(url, StorageOptions.parse())]  # which says what is wrong
    if len(shown) > _MOST_SERIES:
        raise UsageError(
            f"There are {len(shown)} series in {text}; {_MOST_SERIES} can be opened at once.",
            remedy="Plugins > Browse DICOM lists them with pictures.",
        )
    return [replace(url, study=first_text(each, _STUDY), series=first_text(each, _SERIES)) for each in shown]


class Opened(NamedTuple):
    """What a series becomes."""

    layers: list[LayerData]
    notices: list[str]
    """What was left out, or looks odd."""


def open_layers(url: SeriesURL) -> Opened:
    """The layers of a series: values in the units of the modality, palettes in colour, segmentations as labels.

    Raises:
        DicomZarrError: It cannot be opened.
    """
    image, notices = _opened(url)
    shown = image.images[:_MOST_IMAGES]
    layers = [layer for each in shown for layer in layers_of(each.in_color)]
    left = len(image.images) - len(shown)
    more = [f"{left} more images of the series are not shown."] if left else []
    return Opened(layers, [*notices, *image.notices, *more])


def _opened(url: SeriesURL) -> tuple[Image, list[str]]:
    options = options_for(url)
    try:
        return open_image(str(url), **{"values": "modality", "labels": True, **options}), []
    except AuthenticationError as error:
        error.remedy = "Sign in at Plugins > Browse DICOM, and open it again."
        raise
    except ServerError:
        # A server that cannot search has no segmentations to offer; what else is wrong is said by opening again.
        image = open_image(str(url), **{"values": "modality", **options})
        return image, ["The server could not be searched for segmentations of the series: none is shown."]
