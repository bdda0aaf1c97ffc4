"""Where images lie in the hierarchy, and what their groups say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from dicomzarr.dicom.notices import without_files
from dicomzarr.omezarr.attributes import dicomzarr_attributes, level_attributes
from dicomzarr.omezarr.hierarchy import Array, Group, nodes
from dicomzarr.omezarr.keys import SEPARATOR
from dicomzarr.omezarr.multiscales import OME_VERSION, image_attributes
from dicomzarr.plan import ASSOCIATED, LABELS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dicomzarr.omezarr.hierarchy import Format
    from dicomzarr.plan import ImagePlan, SeriesPlan


def build_hierarchy(plan: SeriesPlan, identity: Mapping[str, object], zarr: Format) -> Group:
    """The Zarr hierarchy of a series.

    One image is the root group; several make a ``bioformats2raw.layout: 3`` collection. The root's documents hold those
    of all nodes too: one read instead of one for each.

    Args:
        plan: The images.
        identity: What every image group says of its series, JSON.
        zarr: The format of its documents and keys.
    """
    root = _Layout(plan, identity, zarr).root()
    below = {path.removeprefix(SEPARATOR): node.documents for path, node in nodes(root) if path}
    return Group(zarr.consolidated(root.documents, below), root.children)


@dataclass(frozen=True, slots=True)
class _Layout:
    plan: SeriesPlan
    identity: Mapping[str, object]
    zarr: Format

    def root(self) -> Group:
        plan = self.plan
        children: dict[str, Group | Array] = {}
        if len(plan.images) == 1:
            root_attributes = self._attributes(plan.images[0])
            children.update(self._children(plan.images[0]))
        else:
            paths = plan.image_paths
            root_attributes = {"ome": {"version": OME_VERSION, "bioformats2raw.layout": 3}}
            children["OME"] = self._group({"ome": {"version": OME_VERSION, "series": paths}})
            for path, image in zip(paths, plan.images, strict=True):
                children[path] = self._image_group(image)
        if plan.associated:
            children[ASSOCIATED] = self._group({}, {name: self._image_group(image) for name, image in plan.associated})
        return self._group(root_attributes, children)

    def _group(self, attributes: Mapping[str, object], children: Mapping[str, Group | Array] | None = None) -> Group:
        return Group(self.zarr.group_documents(attributes), children or {})

    def _image_group(self, image: ImagePlan) -> Group:
        return self._group(self._attributes(image), self._children(image))

    def _children(self, image: ImagePlan) -> dict[str, Group | Array]:
        children: dict[str, Group | Array] = self._arrays(image)
        if image.labels:
            named = {label.name: self._image_group(label) for label in image.labels}
            children[LABELS] = self._group({"ome": {"version": OME_VERSION, "labels": list(named)}}, named)
        return children

    def _attributes(self, image: ImagePlan) -> dict[str, object]:
        return {
            "ome": image_attributes(image),
            "dicomzarr": {
                **self.identity,
                "affine": image.affine,
                **dicomzarr_attributes(image),
                "levels": [level_attributes(level.attributes) for level in image.levels],
                "notices": list(map(without_files, self.plan.notices)),
            },
        }

    def _arrays(self, image: ImagePlan) -> dict[str, Group | Array]:
        names = tuple(axis.name for axis in image.axes)
        return {
            str(number): Array(self.zarr.array_documents(level, names), level, self.zarr)
            for number, level in enumerate(image.levels)
        }
