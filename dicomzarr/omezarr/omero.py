"""``omero``: how viewers show channels (https://ngff.openmicroscopy.org/0.5/#omero-md)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dicomzarr.plan import Channel, ImagePlan


def omero(image: ImagePlan) -> dict[str, object]:
    """Channel names, colours and windows, in the units of the arrays."""
    return {
        "channels": [_channel(channel) for channel in image.channels],
        "rdefs": {"model": "color" if image.color or len(image.channels) > 1 else "greyscale"},
    }


def _channel(channel: Channel) -> dict[str, object]:
    low, high = channel.window
    start, end = channel.shown or channel.window
    return {
        "label": channel.label,
        "color": channel.color,
        "active": True,
        "coefficient": 1.0,
        "family": "linear",
        "inverted": channel.inverted,
        "window": {"min": low, "max": high, "start": start, "end": end},
    }
