"""Files on a web server: one by its URL, or those that a page lists, and pages of folders below it."""

from __future__ import annotations

import asyncio
import json
import re
from hashlib import sha256
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import quote, unquote, urljoin, urlsplit

from dicomzarr.errors import DicomZarrError, InvalidReplyError, MissingFileError, NotFoundError
from dicomzarr.runtime.home_loop import home_loop, refuse_running
from dicomzarr.sources.files.stores.port import LeftOut, Listing
from dicomzarr.sources.http.media_type import MediaType
from dicomzarr.sources.http.urls import origin_of, safe_url

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from dicomzarr.options import Tuning
    from dicomzarr.sources.files.stores.objects import ObjectServer
    from dicomzarr.sources.files.stores.port import StoredFile

_MOST_LINKS: Final = 100_000
_MOST_PAGES: Final = 1000
"""Folders below a page that are looked through."""

_LISTS: Final = re.compile(r"<(title|h1)[^>]*>\s*(index of|directory listing|listing of)", re.IGNORECASE)
"""How the listings of Apache, nginx, lighttpd and Python call themselves."""

_IN_URLS: Final = "%/:?#[]@!$&'()*+,;=~"
"""What stands in URLs as it is (RFC 3986 section 2.2); links and lists hold other characters too."""

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
        below = f"{self._url.rpartition('/')[0]}/"
        names, left_out = await self._named(below)
        looked = await asyncio.gather(*map(self._looked_at, names))
        files: dict[str, StoredFile] = {}
        for (url, name), found in sorted(zip(names.items(), looked, strict=True), key=lambda pair: pair[0][1]):
            if found is None:
                left_out[name] = LeftOut.UNREADABLE
            else:
                files[name] = found
            del url
        return Listing(files, left_out)

    async def _named(self, below: str) -> tuple[dict[str, str], dict[str, LeftOut]]:
        """The names of files by their URLs, on the page and on those of folders below it, and links to elsewhere."""
        names: dict[str, str] = {}
        left_out: dict[str, LeftOut] = {}
        seen, waiting = {self._url}, [self._url]
        while waiting:
            pages = await asyncio.gather(*map(self._page, waiting))
            waiting = []
            for page in pages:
                for url in page.links:
                    if not _lies_below(url, below):
                        if not below.startswith(url.rstrip("/.")):  # folders above it, which most pages name
                            left_out[unquote(safe_url(url))] = LeftOut.OUTSIDE
                    elif not url.endswith("/"):
                        names[url] = _name(url, below)
                    elif page.of_folder and url not in seen:
                        seen.add(url)
                        waiting.append(url)
            if len(seen) > _MOST_PAGES or len(names) > _MOST_LINKS:
                raise InvalidReplyError(
                    f"{self.where} leads to more than {_MOST_PAGES} folders or {_MOST_LINKS} files.",
                    remedy="Name a folder below it.",
                )
        names.pop(self._url, None)
        return names, left_out

    async def _page(self, url: str) -> _Page:
        try:
            body, kind = await self._server.page(url, f"the listing {unquote(safe_url(url))}")
        except NotFoundError:
            raise MissingFileError(f"There is no listing {unquote(safe_url(url))}.") from None
        return _read_page(body, kind, url)

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


class _Page(NamedTuple):
    """What a page names."""

    links: Sequence[str]
    """URLs."""
    of_folder: bool
    """It is the listing of a folder, as web servers make it: what it names with a slash at the end are folders."""


class _Anchors(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "a":
            self.found += [value for name, value in attrs if name == "href" and value]


def _read_page(body: bytes, kind: str, url: str) -> _Page:
    """The URLs that a page names."""
    text = body.decode("utf-8", "replace")
    of_folder = False
    try:
        if url.endswith(".json") or "json" in kind:
            entries = json.loads(text)
            of_folder = all(isinstance(each, dict) for each in entries)
            names = [_entry(each) if isinstance(each, dict) else str(each) for each in entries]
        elif MediaType.parse(kind).is_html:
            page = _Anchors()
            page.feed(text)
            of_folder = _LISTS.search(text) is not None or bool({"..", "../"}.intersection(page.found))
            names = [name for name in page.found if not name.startswith(("?", "#"))]
        else:
            names = [line.strip() for line in text.splitlines() if line.strip()]
        found = list(dict.fromkeys(urljoin(url, quote(name, safe=_IN_URLS)) for name in names))
        is_list = len(found) <= _MOST_LINKS and all(urlsplit(each).scheme in {"http", "https"} for each in found)
    except (ValueError, KeyError, TypeError, AssertionError):
        is_list, found = False, []
    if not is_list:
        raise InvalidReplyError(f"What came for {safe_url(url)} lists no files.")
    return _Page(found, of_folder)


def _entry(entry: Mapping[str, object]) -> str:
    """The link to an entry of a listing as nginx or Caddy makes it, whose names are no URLs."""
    name = f"./{quote(str(entry['name']).removesuffix('/'), safe='')}"
    return f"{name}/" if entry.get("type") == "directory" or entry.get("is_dir") is True else name


def _lies_below(url: str, below: str) -> bool:
    """Whether a URL leads below a page, also for servers that take %2E for a dot, and %2F for a slash."""
    climbs = ".." in unquote(urlsplit(url).path).split("/")
    return url.startswith(below) and origin_of(url) == origin_of(below) and not climbs


def _name(url: str, below: str) -> str:
    """The name of a file; what its URL asks for may be a secret, as a signature is, and still tells it from others."""
    path, _, query = url.removeprefix(below).partition("?")
    return f"{unquote(path)} (query {sha256(query.encode()).hexdigest()[:16]})" if query else unquote(path)
