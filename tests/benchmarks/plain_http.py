"""The same replies by Python's own HTTP client, cut and decoded: what bringing the bytes costs without us."""

from __future__ import annotations

import http.client
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from readers import Limit, parts, tiles_of
from slide_server import slide

if TYPE_CHECKING:
    from collections.abc import Sequence

    from measuring import Pixels
    from readers import Region


class PlainHTTP(Limit):
    """One request for all frames of a region over one connection, into one buffer, and then the limit.

    It takes what comes for what was asked for. More connections gain nothing where the server is on this machine.
    """

    def __init__(self, url: str, tiles: int, coding: str = "") -> None:
        super().__init__(url, tiles, coding=coding)
        base, study, series = parts(url)
        (stored,) = slide(tiles, coding).instances()
        address = urlsplit(base)
        self._path = f"{address.path}/studies/{study}/series/{series}/instances/{stored.instance}/frames/"
        self._connection = http.client.HTTPConnection(address.netloc)

    def prepare(self, regions: Sequence[Region]) -> None:  # noqa: ARG002  # they are fetched when they are read
        """Have a connection."""
        self._connection.connect()

    def read(self, regions: Sequence[Region]) -> list[Pixels]:
        """Fetch, cut and decode."""
        wanted = sorted({tile for region in regions for tile in tiles_of(region)})
        numbers = ",".join(str(row * self._tiles + column + 1) for row, column in wanted)
        self._connection.request("GET", self._path + numbers, headers={"Accept": 'multipart/related; type="*/*"'})
        reply = self._connection.getresponse()
        body = memoryview(bytearray(int(reply.headers["Content-Length"])))
        at = 0
        while at < len(body):
            at += reply.readinto(body[at:])
        self._frames = dict(zip(wanted, _cut(body), strict=True))
        return super().read(regions)


def _cut(body: memoryview) -> list[bytes]:
    """The parts of a body, each of which says how long it is."""
    data, found, at = body.obj, [], 0
    while (end := data.find(b"\r\n\r\n", at)) > 0:
        length = int(data[data.find(b"Content-Length: ", at, end) + 16 : end])
        at = end + 4 + length
        found.append(bytes(body[end + 4 : at]))
    return found
