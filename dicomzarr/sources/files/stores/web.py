"""Files on a web server: one by its URL, or those that a page lists."""

from __future__ import annotations

import asyncio
import json
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote, urljoin, urlsplit

from dicomzarr.errors import DicomZarrError, InvalidReplyError, MissingFileError, NotFoundError
from dicomzarr.runtime.home_loop import home_loop, refuse_running
from dicomzarr.sources.files.stores.port import LeftOut, Listing
from dicomzarr.sources.http.media_type import MediaType
from dicomzarr.sources.http.urls import origin_of, safe_url

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dicomzarr.options import Tuning
    from dicomzarr.sources.files.stores.objects import ObjectServer
    from dicomzarr.sources.files.stores.port import StoredFile

_MOST_LINKS: Final = 100_000
_LISTINGS: Final = (".json", ".txt")
"""How a URL ends, besides a slash, that names a listing: a JSON array, or names one a line."""


def names_a_listing(url: str) -> bool:
    """Whether a URL names a page that lists files."""
    return url.endswith(("/", *_LISTINGS))


class WebFiles:
    """One file on a web server, or those of a page; it is a `port.ByteStore`.

    Args:
        url: Of the file; or, with a slash, ``.json`` or ``.txt`` at its end, of a page that lists files below.
        server: Asks it.
    """

    near = False

    def __init__(self, url: str, server: ObjectServer) -> None:
        self._url = url
        self._server = server

    @property
    def where(self) -> str:
        """See `ByteStore.where`."""
        return unquote(safe_url(self._url))

    def files(self) -> Listing:
        """See `ByteStore.files`; links of a page that lead elsewhere are left out.

        Raises:
            MissingFileError: There is no such file or page.
        """
        refuse_running(home_loop())
        return asyncio.run_coroutine_threadsafe(self._files(), home_loop()).result()

    async def _files(self) -> Listing:
        if not names_a_listing(self._url):
            return Listing({self.where.rpartition("/")[2]: await self._server.look(self._url)}, {})
        try:
            body, kind = await self._server.page(self._url, f"the listing {self.where}")
        except NotFoundError:
            raise MissingFileError(f"There is no listing {self.where}.") from None
        links = _links(body, kind, self._url)
        below = f"{self._url.rpartition('/')[0]}/"
        inside = [url for url in links if url.startswith(below) and origin_of(url) == origin_of(below)]
        names = {url: unquote(url.removeprefix(below)) for url in inside if not url.endswith("/") and url != self._url}
        looked = await asyncio.gather(*map(self._looked_at, names))
        files: dict[str, StoredFile] = {}
        left_out = {url: LeftOut.OUTSIDE for url in links if url not in inside}
        for (url, name), found in sorted(zip(names.items(), looked, strict=True), key=lambda pair: pair[0][1]):
            if found is None:
                left_out[name] = LeftOut.UNREADABLE
            else:
                files[name] = found
            del url
        return Listing(files, left_out)

    async def _looked_at(self, url: str) -> StoredFile | None:
        try:
            return await self._server.look(url)
        except DicomZarrError:
            return None

    def pace(self) -> tuple[float, int]:
        """See `ByteStore.pace`."""
        return self._server.pace.latency, self._server.pace.gap

    def tune(self, tuning: Tuning, timeout: float) -> None:
        """See `SeriesSource.tune`."""
        self._server.tune(tuning, timeout)

    def close(self) -> None:
        """See `ByteStore.close`."""
        self._server.close()


class _Anchors(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "a":
            self.found += [value for name, value in attrs if name == "href" and value]


def _links(body: bytes, kind: str, url: str) -> Sequence[str]:
    """The URLs that a page names."""
    text = body.decode("utf-8", "replace")
    try:
        if url.endswith(".json") or "json" in kind:
            names = [each["name"] if isinstance(each, dict) else str(each) for each in json.loads(text)]
        elif MediaType.parse(kind).is_html:
            page = _Anchors()
            page.feed(text)
            names = [name for name in page.found if not name.startswith(("?", "#")) and ".." not in name]
        else:
            names = [line.strip() for line in text.splitlines() if line.strip()]
        found = list(dict.fromkeys(urljoin(url, name) for name in names))
        is_list = len(found) <= _MOST_LINKS and all(urlsplit(each).scheme in {"http", "https"} for each in found)
    except (ValueError, KeyError, TypeError, AssertionError):
        is_list, found = False, []
    if not is_list:
        raise InvalidReplyError(f"What came for {safe_url(url)} lists no files.")
    return found
