"""Private attributes of vendors that say what the standard has an attribute for (PS3.5 section 7.8).

Servers that do not know them give their bytes, with the VR UN.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from dicomzarr.dicom.model.binary import BinaryLeaf, Scalar
    from dicomzarr.dicom.model.image_model import ImageItem

_PHILIPS: Final = ("Philips MR Imaging DD 001",)


@dataclass(frozen=True, slots=True)
class PrivateAttribute:
    """Whose it is, and how its bytes are read."""

    creator: str
    """The attribute of the model that holds the private creator of its block."""
    owners: tuple[str, ...]
    """What that must be."""
    dtype: str = ""
    """Of numbers, little-endian; empty for texts."""


_ATTRIBUTES: Final[Mapping[str, PrivateAttribute]] = {
    "siemens_b_value": PrivateAttribute("creator_0019", ("SIEMENS MR HEADER",)),
    "siemens_gradient": PrivateAttribute("creator_0019", ("SIEMENS MR HEADER",), "<f8"),
    "siemens_coil": PrivateAttribute("creator_0051", ("SIEMENS MR HEADER",)),
    "philips_b_value": PrivateAttribute("creator_2001", ("Philips Imaging DD 001",), "<f4"),
    "philips_gradient_x": PrivateAttribute("creator_2005", _PHILIPS, "<f4"),
    "philips_gradient_y": PrivateAttribute("creator_2005", _PHILIPS, "<f4"),
    "philips_gradient_z": PrivateAttribute("creator_2005", _PHILIPS, "<f4"),
    "philips_label": PrivateAttribute("creator_2005_14", ("Philips MR Imaging DD 005",)),
    "ge_b_value": PrivateAttribute("creator_0043", ("GEMS_PARM_01",)),
    "ge_gradient_x": PrivateAttribute("creator_0019", ("GEMS_ACQU_01",)),
    "ge_gradient_y": PrivateAttribute("creator_0019", ("GEMS_ACQU_01",)),
    "ge_gradient_z": PrivateAttribute("creator_0019", ("GEMS_ACQU_01",)),
    "ge_directions": PrivateAttribute("creator_0019", ("GEMS_ACQU_01",)),
    "ge_component": PrivateAttribute("creator_0043", ("GEMS_PARM_01",), "<i2"),
    "ge_kind": PrivateAttribute("creator_0043", ("GEMS_PARM_01",), "<i2"),
    "ge_time": PrivateAttribute("creator_0021", ("GEMS_RELA_01",)),
    "ge_scan_start": PrivateAttribute("creator_0009", ("GEMS_PETD_01",)),
    "philips_suv_factor": PrivateAttribute("creator_7053", ("Philips PET Private Group",)),
    "philips_activity_factor": PrivateAttribute("creator_7053", ("Philips PET Private Group",)),
    "uih_b_value": PrivateAttribute("creator_0065", ("Image Private Header",), "<f8"),
    "uih_gradient": PrivateAttribute("creator_0065", ("Image Private Header",), "<f8"),
}
"""By the name of the attribute in the model."""


def creator_of(name: str) -> str:
    """The attribute of the model that says whose a private attribute is."""
    return _ATTRIBUTES[name].creator


def private_values(item: ImageItem, name: str) -> Sequence[Scalar]:
    """The values of a private attribute; none where it is absent, or its block is somebody else's."""
    leaf: BinaryLeaf = getattr(item, name)
    if not leaf.values and not leaf.inline:
        return ()
    known = _ATTRIBUTES[name]
    creator = getattr(item, known.creator).values
    if not creator or str(creator[0]).strip() not in known.owners:
        return ()
    return leaf.values or _decoded(leaf.inline or "", known.dtype)


def private_value(item: ImageItem, name: str) -> Scalar:
    """The first of these; None where there is none."""
    return next(iter(private_values(item, name)), None)


def _decoded(inline: str, dtype: str) -> Sequence[Scalar]:
    try:
        content = base64.b64decode(inline, validate=True)
    except (binascii.Error, ValueError):
        return ()
    if dtype:
        whole = len(content) // np.dtype(dtype).itemsize * np.dtype(dtype).itemsize
        return [float(number) for number in np.frombuffer(content[:whole], dtype)]
    return content.decode("ascii", "replace").strip(" \0").split("\\")
