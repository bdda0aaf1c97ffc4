"""Where images lie in the hierarchy, and what their groups say."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dicomzarr.omezarr.attributes import dicomzarr_attributes, level_attributes
from dicomzarr.omezarr.documents import array_document, group_document
from dicomzarr.omezarr.hierarchy import Array, Group
from dicomzarr.omezarr.multiscales import OME_VERSION, image_attributes
from dicomzarr.plan import ASSOCIATED, LABELS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dicomzarr.plan import ImagePlan, SeriesPlan


def build_hierarchy(plan: SeriesPlan, identity: Mapping[str, object]) -> Group:
    """The Zarr hierarchy of a series.

    One image is the root group; several make a ``bioformats2raw.layout: 3`` collection.

    Args:
        plan: The images.
        identity: What every image group says of its series, JSON.
    """
    children: dict[str, Group | Array] = {}
    if len(plan.images) == 1:
        root_attributes = _attributes(plan.images[0], plan, identity)
        children.update(_children(plan.images[0], plan, identity))
    else:
        paths = plan.image_paths
        root_attributes = {"ome": {"version": OME_VERSION, "bioformats2raw.layout": 3}}
        children["OME"] = Group(group_document({"ome": {"version": OME_VERSION, "series": paths}}))
        for path, image in zip(paths, plan.images, strict=True):
            children[path] = _image_group(image, plan, identity)
    if plan.associated:
        children[ASSOCIATED] = Group(
            group_document({}),
            {name: _image_group(image, plan, identity) for name, image in plan.associated},
        )
    return Group(group_document(root_attributes), children)


def _image_group(image: ImagePlan, plan: SeriesPlan, identity: Mapping[str, object]) -> Group:
    return Group(group_document(_attributes(image, plan, identity)), _children(image, plan, identity))


def _children(image: ImagePlan, plan: SeriesPlan, identity: Mapping[str, object]) -> dict[str, Group | Array]:
    children: dict[str, Group | Array] = _arrays(image)
    if image.labels:
        named = {label.name: _image_group(label, plan, identity) for label in image.labels}
        children[LABELS] = Group(group_document({"ome": {"version": OME_VERSION, "labels": list(named)}}), named)
    return children


def _attributes(image: ImagePlan, plan: SeriesPlan, identity: Mapping[str, object]) -> dict[str, object]:
    return {
        "ome": image_attributes(image),
        "dicomzarr": {
            **identity,
            "affine": image.affine,
            **dicomzarr_attributes(image),
            "levels": [level_attributes(level.attributes) for level in image.levels],
            "notices": list(plan.notices),
        },
    }


def _arrays(image: ImagePlan) -> dict[str, Group | Array]:
    names = tuple(axis.name for axis in image.axes)
    return {str(number): Array(array_document(level, names, {}), level) for number, level in enumerate(image.levels)}
