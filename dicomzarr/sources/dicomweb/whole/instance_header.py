"""The attributes of an instance in its Part-10 file, read no further than to the pixel data."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dicomzarr.dicom.files.data_set import DataSetHeader, attributes, data_set_header, encoded_attributes
from dicomzarr.dicom.files.deflated import InflatedWindow
from dicomzarr.dicom.files.file_meta import read_file_meta
from dicomzarr.dicom.files.random_access import MOST_BEGINNING
from dicomzarr.errors import InvalidReplyError, TruncatedReplyError, WrongPartsError
from dicomzarr.runtime.pools import FILES
from dicomzarr.sources.dicomweb.messages.replies import refuse_page, refuse_text
from dicomzarr.sources.dicomweb.messages.single_part import only_part, part_start
from dicomzarr.sources.dicomweb.whole.file_errors import as_reply_errors
from dicomzarr.sources.http.media_type import MediaType

if TYPE_CHECKING:
    from dicomzarr.sources.dicomweb.negotiation.instance_key import InstanceKey
    from dicomzarr.sources.http.transport import Response


async def receive_header(response: Response, key: InstanceKey) -> DataSetHeader:
    """Read a whole instance until its pixel data begin; the rest is left to whoever closes the connection.

    Raises:
        InvalidReplyError: It is no Part-10 file, or its attributes do not end.
        TruncatedReplyError: It ended early.
    """
    content_type = response.headers.get("content-type", "")
    refuse_text(MediaType.parse(content_type), key.subject)
    body = bytearray()
    looked_at = 0
    async for chunk in response.chunks():
        body += chunk
        refuse_page(bytes(body[:64]), key.subject)
        if len(body) >= 2 * looked_at:  # so that all looks together cost no more than two
            looked_at = len(body)
            found = await FILES.run(_header_within, bytes(body), content_type, key.subject)
            if found is not None:
                return found
        if len(body) > MOST_BEGINNING:
            raise InvalidReplyError(f"No pixel data within {MOST_BEGINNING} bytes of {key.subject}.")
    return await FILES.run(_header_of, bytes(body), content_type, key.subject)


def header_json(header: DataSetHeader, key: InstanceKey) -> bytes:
    """One object of the DICOM JSON model (PS3.18 Annex F).

    Raises:
        WrongPartsError: It is another instance.
        InvalidReplyError: The attributes cannot be read.
    """
    with as_reply_errors():
        found = attributes(header, key.subject)
        body = encoded_attributes(found)
    if [str(uid).strip(" \0") for uid in found.get("00080018", {}).get("Value", [])] != [key.instance]:
        raise WrongPartsError(f"Another instance came for {key.subject}.")
    return body


def _header_within(body: bytes, content_type: str, subject: str) -> DataSetHeader | None:
    """The header in the beginning of a body, or None when more is needed to know."""
    try:
        multipart = MediaType.parse(content_type).is_multipart
        start = part_start(body, content_type, subject) if multipart else 0
        with as_reply_errors():
            return _header(memoryview(body)[start:], subject, complete=False)
    except TruncatedReplyError:
        return None


def _header_of(body: bytes, content_type: str, subject: str) -> DataSetHeader:
    """The header in a whole body, which may have no pixel data."""
    multipart = MediaType.parse(content_type).is_multipart
    place = only_part(body, content_type, subject) if multipart else slice(None)
    with as_reply_errors():
        header = _header(memoryview(body)[place], subject, complete=True)
    assert header is not None  # noqa: S101  # all that there is has been seen
    return header


def _header(file: memoryview, subject: str, *, complete: bool) -> DataSetHeader | None:
    meta = read_file_meta(file)
    if not meta.deflated:
        return data_set_header(file, meta.end, meta, complete=complete)
    return data_set_header(InflatedWindow(file, meta.end, subject), 0, meta, complete=complete)
