"""From which side a part of the body was pictured, and which of a pair it is: projections of others are no slices."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from dicomzarr.dicom.model.values import AttributeReader

if TYPE_CHECKING:
    from dicomzarr.dicom.model.image_model import ImageItem

VIEWS: Final = frozenset(
    ["AP", "PA", "LL", "RL", "RLD", "LLD", "RLO", "LLO", "CC", "MLO", "ML", "LM", "LMO", "SIO", "FB", "XCCL", "XCCM"]
)
"""ViewPosition (0018,5101), PS3.3 sections C.8.11.7 and C.8.11.4 and common ones of mammography."""

_OF_CODES: Final = {
    "399260004": "ML",
    "399368009": "MLO",
    "399352003": "LM",
    "399099002": "LMO",
    "399162004": "CC",
    "R-10224": "ML",
    "R-10226": "MLO",
    "R-10228": "LM",
    "R-10230": "LMO",
    "R-10242": "CC",
}
"""Codes of the View Code Sequence (0054,0220) in SNOMED CT, and as it was before (PS3.16 CID 4014)."""


def view_of(item: ImageItem) -> str:
    """What says from where an instance was pictured, to be compared and not to be shown; empty where nothing does."""
    if not (item.view_position.values or item.views.values):  # as most that are one of thousands
        return ""
    read = AttributeReader("")
    code = next((read.text(code.value) for code in item.views.items), None) or ""
    return read.text(item.view_position) or _OF_CODES.get(code, code)


def shown_view(item: ImageItem) -> str | None:
    """The same if it is a known one, as ``MLO``."""
    view = view_of(item)
    return view if view in VIEWS else None
