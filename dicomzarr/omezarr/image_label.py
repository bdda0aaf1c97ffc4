"""``image-label``: what the values of a label image are (https://ngff.openmicroscopy.org/0.5/#label-md)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dicomzarr.plan import ImagePlan


def image_label(image: ImagePlan) -> dict[str, object]:
    """Colours and names of the segments."""
    colored = [segment for segment in image.segments if segment.color]
    return {
        **(
            {"colors": [{"label-value": each.number, "rgba": [*bytes.fromhex(each.color), 255]} for each in colored]}
            if colored
            else {}
        ),
        "properties": [{"label-value": each.number, "name": each.label} for each in image.segments],
        "source": {"image": "../../"},
    }
