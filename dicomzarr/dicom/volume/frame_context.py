"""What the metadata say of one frame, in its functional groups, in those of all frames, or at the root."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from dicomzarr.dicom.model.image_model import NO_GROUPS
from dicomzarr.dicom.model.json_model import EMPTY, Leaf
from dicomzarr.dicom.model.values import is_given

if TYPE_CHECKING:
    from dicomzarr.dicom.instance import Instance
    from dicomzarr.dicom.model.image_model import FrameGroups, ImageItem, Macro
    from dicomzarr.dicom.model.values import AttributeReader


class FrameContext(msgspec.Struct, frozen=True, eq=False):
    """All that the metadata say of one frame."""

    __repr__ = object.__repr__

    instance: Instance
    item: ImageItem
    """What of its instance is not typed, as decoded."""
    groups: FrameGroups
    shared: FrameGroups
    number: int
    """Frame number, 1-based."""
    time: float | None
    """Milliseconds since the first frame of the instance, of FrameTime or FrameTimeVector."""
    read: AttributeReader

    def macro(self, name: str) -> Macro | None:
        """The macro of this frame, else that of all frames (PS3.3 section C.7.6.16)."""
        return next(iter(self.macros(name)), None)

    def attribute(self, group: str, name: str, root: Leaf = EMPTY) -> Leaf:
        """An attribute of the frame's macro, else of that of all frames: a macro may lack what the other has.

        Args:
            group: The functional group.
            name: The attribute.
            root: What the instance has of it, for those that have no such macro.
        """
        macros = self.macros(group)
        if not macros:
            return root
        for macro in macros:
            leaf: Leaf = getattr(macro, name)
            if is_given(leaf):
                return leaf
        return EMPTY

    def macros(self, name: str) -> list[Macro]:
        """The macro of this frame and that of all frames, as far as there are any."""
        if self.groups is NO_GROUPS and self.shared is NO_GROUPS:
            return []
        found = getattr(self.groups, name).values[:1] + getattr(self.shared, name).values[:1]
        return [macro for macro in found if macro is not None] if found else []
