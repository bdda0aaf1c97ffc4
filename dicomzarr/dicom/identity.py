"""Attributes without those that may say who somebody is, by what PS3.15 Annex E cleans. Pure (no I/O)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from dicomzarr.dicom.model.plain_json import first_text, tag_of, values_of
from dicomzarr.dicom.uids import is_ordinary

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

JSONObject = dict[str, Any]

_KEPT: Final = frozenset(
    ["AT", "CS", "DS", "FD", "FL", "IS", "OB", "OD", "OF", "OL", "OV", "OW", "SL", "SS", "SV", "UL", "US", "UV"]
)
"""Value representations of numbers and of codes; names, dates, times, texts and what is unknown may identify."""

_FIRST: Final = 0x0008
"""Below are commands, and what is of a file."""

_LEFT_OUT: Final = frozenset({0x0010, 0x0012, 0x0032, 0x0038, 0x0042, 0x0400, 0x2110, 0x4008})
"""Groups about patients, trials, requests, visits, documents, signatures, prints and reports."""

_REPEATING: Final = frozenset({0x50, 0x60})
"""Curves and overlays, into which texts may be drawn: the first half of their group numbers."""

_TEXTS: Final = frozenset(
    {
        *("00080070", "00081090"),  # Manufacturer, ManufacturerModelName
        *("00180024", "00181210", "00181160", "00189005", "00189004"),  # sequence, kernel, filter, pulse sequence
        *("00180085", "00181250", "00181251", "00180031"),  # nucleus, coils, radiopharmaceutical
        *("00540081", "00541100", "00541101", "00541103", "00541105"),  # of PET: corrections and reconstruction
        *("00281054", "00189316"),  # RescaleType
        *("00480106", "00480107"),  # OpticalPathIdentifier, OpticalPathDescription: names of channels
        *("00620005", "00620020"),  # SegmentLabel, TrackingID
        *("30060026", "30060085"),  # ROIName, ROIObservationLabel
    }
)
"""Short texts about a device or what is shown."""

_CODE: Final = ("00080100", "00080104", "00080102")
"""CodeValue, CodeMeaning, CodingSchemeDesignator."""
_SCHEMES: Final = frozenset(
    {"DCM", "SCT", "SRT", "SNM3", "UCUM", "FMA", "LN", "RADLEX", "NCIt", "IBSI", "UMLS", "ICDO3"}
)
"""Coding schemes whose codes nobody makes up."""

_PIXELS: Final = frozenset({"7FE00008", "7FE00009", "7FE00010"})


def without_pixels(attributes: Mapping[str, Any]) -> JSONObject:
    """The attributes of an instance, in the DICOM JSON model, without its frames, and without what is no attribute."""
    tags = ((tag.upper(), element) for tag, element in attributes.items())
    return {tag: element for tag, element in tags if tag_of(tag) == tag and tag not in _PIXELS}


def without_identity(attributes: Mapping[str, Any]) -> JSONObject:
    """Attributes in the DICOM JSON model (PS3.18 Annex F) without what may identify, in sequences too.

    UIDs stay, as they are in the URL; and codes, which have defined terms.
    """
    return dict(_kept(attributes))


def _kept(attributes: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    from pydicom.datadict import dictionary_has_tag, dictionary_VR  # noqa: PLC0415  # heavy, and opening does without

    is_known_code = first_text(attributes, _CODE[2]) in _SCHEMES
    for tag, element in attributes.items():
        number = int(tag, 16) if tag_of(tag.upper()) == tag.upper() else 0
        group = number >> 16
        if group < _FIRST or group % 2 or group in _LEFT_OUT or group >> 8 in _REPEATING:
            continue
        if not dictionary_has_tag(number):
            continue
        vr = dictionary_VR(number).partition(" ")[0]  # whatever the server says; "US or SS" are both numbers
        if vr == "SQ":
            items = [without_identity(item) for item in values_of(attributes, tag) if isinstance(item, dict)]
            yield tag, {"vr": "SQ", "Value": items}
        elif vr == "UI":
            yield tag, {"vr": "UI", "Value": [uid for uid in values_of(attributes, tag) if is_ordinary(str(uid))]}
        elif vr in _KEPT or tag in _TEXTS or (is_known_code and tag in _CODE):
            yield tag, element
