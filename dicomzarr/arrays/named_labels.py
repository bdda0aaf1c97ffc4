"""Labels of an image by the names of their segments."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from dicomzarr.errors import UsageError

if TYPE_CHECKING:
    from dicomzarr.dicom.segmentation import Segment


class _HasSegments(Protocol):
    @property
    def segments(self) -> tuple[Segment, ...]: ...


_Label = TypeVar("_Label", bound=_HasSegments)


class Labels(dict[str, _Label]):
    """Label images by their names in the hierarchy, and by the name of a segment, where that is one's alone."""

    def __missing__(self, name: str) -> _Label:
        """The label of a segment.

        Raises:
            KeyError: No label and no segment has the name.
            UsageError: Several segments have it.
        """
        found = self.named(name)
        if len(found) == 1:
            return found[0]
        if found:
            keys = ", ".join(key for key, label in self.items() if label in found)
            raise UsageError(f"{len(found)} labels are of segments named {name!r:.60}.", remedy=f"Take one of {keys}.")
        names = dict.fromkeys(repr(each.label) for label in self.values() for each in label.segments)
        known = f"There are: {', '.join(names)}." if names else "There are none: open the series with labels=True."
        raise KeyError(f"There is no label named {name!r:.60}. {known}")  # as of every dict

    def named(self, name: str) -> list[_Label]:
        """The labels that a segment of this name is in."""
        return [label for label in self.values() if name in {each.label for each in label.segments}]

    def __contains__(self, name: object) -> bool:
        return super().__contains__(name) or (isinstance(name, str) and len(self.named(name)) == 1)

    def get(self, name: str, default: Any = None) -> Any:
        """As of a dict, by either name."""
        known = name in self
        return self[name] if known else default
