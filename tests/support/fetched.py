"""Which frames a server was asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dicomzarr.demo.server import DICOMwebServer


def frames_of(server: DICOMwebServer) -> list[tuple[str, str]]:
    """Instance and number of each frame that was asked for, in the order of the requests."""
    return [
        (request.path.partition("/frames/")[0], number)
        for request in server.requests
        if request.resource == "frames"
        for number in request.path.rpartition("/")[2].split(",")
    ]
