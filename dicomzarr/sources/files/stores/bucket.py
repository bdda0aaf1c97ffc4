"""Public buckets of S3 and Google Cloud Storage: one listing (ListObjectsV2 or ListObjects), then ranges of objects."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import quote, unquote, urlencode
from xml.etree import ElementTree as ET

from dicomzarr.errors import (
    AuthenticationError,
    HTTPStatusError,
    InvalidReplyError,
    MissingFileError,
    NotFoundError,
    PermissionDeniedError,
)
from dicomzarr.runtime.home_loop import home_loop, refuse_running
from dicomzarr.sources.files.stores.archive import ENDINGS
from dicomzarr.sources.files.stores.objects import RemoteFile
from dicomzarr.sources.files.stores.port import Listing, empty_files, untold

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping, Sequence

    from dicomzarr.options import Tuning
    from dicomzarr.sources.files.stores.objects import ObjectServer

_ENDPOINTS: Final = {"s3": "https://{bucket}.s3.amazonaws.com", "gs": "https://storage.googleapis.com/{bucket}"}
_DOTTED: Final = {"s3": "https://s3.amazonaws.com/{bucket}", "gs": "https://storage.googleapis.com/{bucket}"}
"""For buckets with a dot in their name, which no certificate of a host below covers."""

_OBJECTS: Final = (".dcm", *ENDINGS)
"""How names of objects end; other prefixes are taken for folders first."""

_KEYS: Final = 1000
_MOST_PAGES: Final = 10_000
_OTHER_REGION: Final = 400
"""The status with which S3 refuses what is signed for another region."""
_REGION: Final = 'If it is in another region: endpoint_url="https://s3.REGION.amazonaws.com".'


@dataclass(frozen=True, slots=True)
class BucketURL:
    """A bucket, and what in it is meant."""

    scheme: str
    """``s3`` or ``gs``."""
    bucket: str
    prefix: str
    """Of keys, without a slash at its end; empty for all."""

    @classmethod
    def parse(cls, location: str) -> BucketURL:
        """Read ``s3://BUCKET/PREFIX``, also with a ``*`` behind it."""
        scheme, _, rest = location.partition("://")
        bucket, _, prefix = rest.partition("/")
        return cls("gs" if scheme == "gcs" else scheme, bucket, prefix.removesuffix("*").rstrip("/"))

    def address(self, endpoint: str | None) -> str:
        """The URL of the bucket.

        Args:
            endpoint: The server; ``{bucket}`` in it stands for the name, else buckets are the first part of the path.
        """
        if endpoint is None:
            endpoint = (_DOTTED if "." in self.bucket else _ENDPOINTS)[self.scheme]
        elif "{bucket}" not in endpoint:
            endpoint = endpoint.rstrip("/") + "/{bucket}"
        return endpoint.replace("{bucket}", self.bucket)

    def __str__(self) -> str:
        return f"{self.scheme}://{self.bucket}/{self.prefix}".rstrip("/")


class Object(NamedTuple):
    """What a listing says of an object."""

    key: str
    size: int
    tag: str


class Page(NamedTuple):
    """A piece of a listing."""

    objects: list[Object]
    following: Mapping[str, str] | None
    """Parameters that ask for the next one; None for the last."""


class Bucket:
    """The objects below a prefix, or one; it is a `port.ByteStore`.

    Args:
        url: What is meant.
        address: The http(s) URL of the bucket.
        server: Asks it.
    """

    near = False

    def __init__(self, url: BucketURL, address: str, server: ObjectServer) -> None:
        self.url = url
        self._address = address
        self._server = server

    @property
    def where(self) -> str:
        """See `ByteStore.where`."""
        return str(self.url)

    def files(self) -> Listing:
        """See `ByteStore.files`.

        Raises:
            MissingFileError: There is no such bucket, or nothing of this name in it.
        """
        refuse_running(home_loop())
        return asyncio.run_coroutine_threadsafe(self._files(), home_loop()).result()

    async def _files(self) -> Listing:
        prefix = self.url.prefix
        ways = [f"{prefix}/", prefix] if prefix else [""]  # all below it, or the one object of that name
        if prefix.lower().endswith(_OBJECTS):
            ways.reverse()
        for way in ways:
            listed = [each async for page in self._pages(way) for each in page.objects]
            below = [each for each in listed if way != prefix or not prefix or each.key == prefix]
            if below:
                break
        else:
            raise MissingFileError(f"There is nothing at {self.url}.", remedy="Check the bucket and the prefix.")
        start = len(way) if way != prefix else prefix.rfind("/") + 1
        found = {
            each.key[start:]: RemoteFile(
                f"{self._address}/{quote(each.key, safe='/~')}", each.size, each.tag or untold(), self._server
            )
            for each in below
            if each.size and not each.key.endswith("/")
        }
        return Listing(dict(sorted(found.items())), empty_files({each.key[start:]: each.size for each in below}))

    async def _pages(self, prefix: str) -> AsyncIterator[Page]:
        following: Mapping[str, str] = {}
        for _ in range(_MOST_PAGES):
            wanted = {"list-type": "2", "prefix": prefix, "max-keys": str(_KEYS), "encoding-type": "url", **following}
            # As signatures have it: some servers do not bring the query into that form before they verify.
            url = f"{self._address}?{urlencode(sorted(wanted.items()), quote_via=quote, safe='~')}"
            try:
                body, _ = await self._server.page(url, f"the listing of {self.url}")
            except (AuthenticationError, PermissionDeniedError) as error:
                error.remedy = 'A private bucket is read with auth="aws", with store, or with fsspec_options.'
                raise
            except NotFoundError:
                raise MissingFileError(f"There is no bucket {self.url.scheme}://{self.url.bucket}.") from None
            except HTTPStatusError as error:
                if error.status == _OTHER_REGION:
                    error.remedy = _REGION
                raise
            except InvalidReplyError as error:  # S3 leads to buckets of other regions by a 301 that says no Location
                error.remedy = error.remedy or _REGION
                raise
            page = read_page(body, str(self.url))
            yield page
            if page.following is None:
                return
            if page.following == following:
                raise InvalidReplyError(
                    f"The listing of {self.url} is cut off: the server gives the same part of it again.",
                    remedy="Name a prefix of fewer objects, or give the objects as a list (list.txt).",
                )
            following = page.following
        raise InvalidReplyError(f"The listing of {self.url} does not end.", remedy="Name a longer prefix.")

    def pace(self) -> tuple[float, int]:
        """See `ByteStore.pace`."""
        return self._server.pace.latency, self._server.pace.gap

    def tune(self, tuning: Tuning, timeout: float) -> None:
        """See `SeriesSource.tune`."""
        self._server.tune(tuning, timeout)

    def close(self) -> None:
        """See `ByteStore.close`."""
        self._server.close()


def read_page(body: bytes, where: str) -> Page:
    """A ListBucketResult. Pure (no I/O).

    Raises:
        InvalidReplyError: It is none.
    """
    expands = b"<!DOCTYPE" in body or b"<!ENTITY" in body  # nothing may be
    try:
        root = ET.fromstring(b"" if expands else body)  # noqa: S314  # no entities, as was checked
        encoded = _text(root, "EncodingType") == "url"
        objects = list(_objects(root, encoded=encoded))
    except (ET.ParseError, ValueError):
        root = None
    if root is None or not root.tag.endswith("ListBucketResult"):
        raise InvalidReplyError(f"What came for the listing of {where} is none (ListObjectsV2).") from None
    return Page(objects, _following(root, objects, where))


def _following(root: ET.Element, objects: Sequence[Object], where: str) -> dict[str, str] | None:
    """What asks for the keys that follow; a server that does not know ListObjectsV2 goes on behind the last key."""
    token, truncated = _text(root, "NextContinuationToken"), _text(root, "IsTruncated").lower()
    if truncated == "false" or not (token or truncated == "true"):
        return None
    if token:
        return {"continuation-token": token}
    if not objects:
        raise InvalidReplyError(f"The listing of {where} is cut off: the server does not say how it goes on.")
    return {"marker": objects[-1].key, "start-after": objects[-1].key}


def _objects(root: ET.Element, *, encoded: bool) -> Iterator[Object]:
    for each in root.iterfind("{*}Contents"):
        key = _text(each, "Key")
        tag = _text(each, "ETag") or _http_date(_text(each, "LastModified"))
        quoted = f'"{tag}"' if _text(each, "ETag") and not tag.startswith(('"', "W/")) else tag
        yield Object(unquote(key.replace("+", " ")) if encoded else key, int(_text(each, "Size")), quoted)


def _http_date(text: str) -> str:
    """A date as replies for the object tell it (RFC 9110 section 5.6.7); empty where it is none."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return ""
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return format_datetime(moment.astimezone(UTC), usegmt=True)


def _text(element: ET.Element, name: str) -> str:
    found = element.findtext(f"{{*}}{name}")
    return "" if found is None else found.strip() if name != "Key" else found
