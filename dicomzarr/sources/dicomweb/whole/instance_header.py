"""The attributes of an instance in its Part-10 file, read no further than to the pixel data."""

from __future__ import annotations

import warnings
from io import BytesIO
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

from dicomzarr.dicom.files.part10 import FileMeta, header_end, read_file_meta
from dicomzarr.errors import InvalidReplyError, TruncatedReplyError, WrongPartsError
from dicomzarr.runtime.pools import FILES
from dicomzarr.sources.dicomweb.messages.enclosed import only_part, part_start
from dicomzarr.sources.dicomweb.messages.media_type import MediaType
from dicomzarr.sources.dicomweb.messages.replies import refuse_page, refuse_text
from dicomzarr.sources.dicomweb.whole.file_errors import as_reply_errors
from dicomzarr.sources.dicomweb.whole.spool import inflated_pieces

if TYPE_CHECKING:
    from dicomzarr.dicom.files.elements import Encoding
    from dicomzarr.sources.dicomweb.http.transport import Response
    from dicomzarr.sources.dicomweb.negotiation.remembered import InstanceKey

MOST_BYTES: Final = 256 * 2**20
"""Bytes of attributes before the pixel data; 50 000 placed tiles take a tenth of that."""


class Header(NamedTuple):
    """The data set of an instance up to its pixel data."""

    data: bytes
    encoding: Encoding
    transfer_syntax_uid: str


async def receive_header(response: Response, key: InstanceKey) -> Header:
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
        if len(body) > MOST_BYTES:
            raise InvalidReplyError(f"No pixel data within {MOST_BYTES} bytes of {key.subject}.")
    return await FILES.run(_header_of, bytes(body), content_type, key.subject)


def header_json(header: Header, key: InstanceKey) -> bytes:
    """One object of the DICOM JSON model (PS3.18 Annex F).

    Raises:
        WrongPartsError: It is another instance.
        InvalidReplyError: The attributes cannot be read.
    """
    try:
        # pydicom's warnings quote values, which may be the patient's.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            attributes = _attributes(header)
        body = msgspec.json.encode(attributes, enc_hook=str)  # str for pydicom's UID
    except Exception as error:  # noqa: BLE001  # anything may come out of a parser, and its text may hold values
        raise InvalidReplyError(f"The attributes of {key.subject} cannot be read ({type(error).__name__}).") from None
    if [str(uid).strip(" \0") for uid in attributes.get("00080018", {}).get("Value", [])] != [key.instance]:
        raise WrongPartsError(f"Another instance came for {key.subject}.")
    return body


def _header_within(body: bytes, content_type: str, subject: str) -> Header | None:
    """The header in the beginning of a body, or None when more is needed to know."""
    try:
        multipart = MediaType.parse(content_type).is_multipart
        start = part_start(body, content_type, subject) if multipart else 0
        with as_reply_errors():
            data, at, meta = _data_set(memoryview(body)[start:], subject, complete=False)
            end = header_end(data, at, meta)
    except TruncatedReplyError:
        return None
    return None if end is None else _header(data[at:end], meta)


def _header_of(body: bytes, content_type: str, subject: str) -> Header:
    """The header in a whole body, which may have no pixel data."""
    multipart = MediaType.parse(content_type).is_multipart
    place = only_part(body, content_type, subject) if multipart else slice(None)
    with as_reply_errors():
        data, at, meta = _data_set(memoryview(body)[place], subject, complete=True)
        end = header_end(data, at, meta)
    return _header(data[at : len(data) if end is None else end], meta)


def _header(data: memoryview, meta: FileMeta) -> Header:
    return Header(bytes(data), meta.encoding(data, 0), meta.transfer_syntax_uid)


def _data_set(file: memoryview, subject: str, *, complete: bool) -> tuple[memoryview, int, FileMeta]:
    """The bytes that hold the data set, inflated, and where it begins."""
    meta = read_file_meta(file)
    if not meta.deflated:
        return file, meta.end, meta
    data = bytearray()
    try:
        for piece in inflated_pieces(file[meta.end :], subject):
            data += piece
            if len(data) > MOST_BYTES:
                break  # the pixel data are within it, or nowhere
    except TruncatedReplyError:
        if complete:
            raise
    return memoryview(bytes(data)), 0, meta


def _attributes(header: Header) -> dict[str, Any]:
    from pydicom.filereader import read_dataset  # noqa: PLC0415  # a third of a second, for servers without /metadata

    dataset = read_dataset(
        BytesIO(header.data),
        is_implicit_VR=not header.encoding.explicit,
        is_little_endian=not header.encoding.big_endian,
    )
    attributes = {f"{element.tag:08X}": element.to_json_dict(None, 0) for element in dataset}
    attributes["00083002"] = {"vr": "UI", "Value": [header.transfer_syntax_uid]}
    return attributes
