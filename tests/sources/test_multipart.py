"""The multipart parser gives the same parts however the body is cut, and never a cut part."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from thoroughness import examples

from dicomzarr.errors import DicomZarrError, MultipartError, TruncatedReplyError
from dicomzarr.sources.dicomweb.messages.multipart import MultipartParser, Part
from dicomzarr.sources.http.media_type import MediaType

BOUNDARY = "b0und'ary"
CONTENT_TYPE = f'multipart/related; type="application/octet-stream"; boundary="{BOUNDARY}"'


def build(bodies: list[bytes], *, lengths: bool = True, newline: str = "\r\n", boundary: str = BOUNDARY) -> bytes:
    text = b""
    for number, body in enumerate(bodies, start=1):
        head = f"--{boundary}{newline}Content-Type: image/jpeg; transfer-syntax=1.2.3{newline}"
        if lengths:
            head += f"Content-Length: {len(body)}{newline}"
        head += f"Content-Location: http://h/studies/1/series/2/instances/3/frames/{number}{newline}{newline}"
        text += head.encode() + body + newline.encode()
    return text + f"--{boundary}--{newline}".encode()


def parse(chunks: list[bytes], content_type: str = CONTENT_TYPE) -> list[Part]:
    parser = MultipartParser(content_type)
    parts = [part for chunk in chunks for part in parser.feed(chunk)]
    parser.close()
    return parts


def parts_and_outcome(chunks: list[bytes], content_type: str = CONTENT_TYPE) -> tuple[list[Part], str]:
    parser = MultipartParser(content_type)
    parts: list[Part] = []
    try:
        for chunk in chunks:
            parts += parser.feed(chunk)
        parser.close()
    except DicomZarrError as error:
        return parts, f"{type(error).__name__}: {error}"
    return parts, "whole"


NASTY = [
    b"",
    b"\r\n--",
    b"\r\n--b0und'ar",
    b"--b0und'ary",
    b"\r\n--b0und'ary-",
    b"\r\n--b0und'aryX\r\n\r\n",
    b"\xff\xd8\r\n\r\n--\r\n\xff\xd9",
    b"\n--\n",
    b"\r",
]
SAFE_TO_SCAN = [body for body in NASTY if b"\r\n--b0und'ary-" not in body or body.endswith(b"X\r\n\r\n")]


@pytest.mark.parametrize("lengths", [True, False])
def test_cut_at_every_byte(lengths: bool) -> None:  # noqa: FBT001  # a pytest parameter
    bodies = NASTY if lengths else SAFE_TO_SCAN
    whole = build(bodies, lengths=lengths)
    assert [part.body for part in parse([whole])] == bodies
    for cut in range(len(whole) + 1):
        assert [part.body for part in parse([whole[:cut], whole[cut:]])] == bodies
    assert [part.body for part in parse([bytes([byte]) for byte in whole])] == bodies


@given(
    bodies=st.lists(st.binary(max_size=40) | st.sampled_from(NASTY), min_size=1, max_size=4),
    cuts=st.lists(st.integers(0, 600), max_size=8),
    lengths=st.booleans(),
    newline=st.sampled_from(["\r\n", "\n"]),
    fault=st.tuples(st.integers(0, 600), st.binary(max_size=3)),
    spoil=st.booleans(),
)
@settings(max_examples=examples(300), deadline=None)
def test_chunks_never_matter(  # noqa: PLR0913, PLR0917  # Hypothesis' parameters
    bodies: list[bytes],
    cuts: list[int],
    lengths: bool,  # noqa: FBT001  # as above
    newline: str,
    fault: tuple[int, bytes],
    spoil: bool,  # noqa: FBT001  # as above
) -> None:
    whole = build(bodies, lengths=lengths, newline=newline)
    if spoil:
        at, junk = fault
        whole = whole[:at] + junk + whole[at + len(junk) + 1 :]
    elif lengths:
        assert [part.body for part in parse([whole])] == bodies
    places = [0, *sorted(min(cut, len(whole)) for cut in cuts), len(whole)]
    chunks = [whole[start:stop] for start, stop in pairwise(places)]
    assert parts_and_outcome(chunks) == parts_and_outcome([whole])
    assert parts_and_outcome([bytes([byte]) for byte in whole]) == parts_and_outcome([whole])


@pytest.mark.parametrize("lengths", [True, False])
def test_truncated_anywhere_gives_only_whole_parts(lengths: bool) -> None:  # noqa: FBT001  # a pytest parameter
    bodies = [b"first" * 3, b"second" * 3]
    whole = build(bodies, lengths=lengths)
    for end in range(len(whole) - 2):
        parts, outcome = parts_and_outcome([whole[:end]])
        closed = whole[:end].endswith(b"--") and end > len(whole) - 4
        assert outcome.startswith("TruncatedReplyError") or closed
        assert [part.body for part in parts] == bodies[: len(parts)]


def test_part_headers() -> None:
    (part,) = parse([build([b"x"])])
    assert part.content_type.name == "image/jpeg"
    assert part.transfer_syntax == "1.2.3"
    assert part.frame_number == 1
    assert part.instance == "3"
    assert part.headers["content-length"] == "1"


@pytest.mark.parametrize(
    ("location", "number"),
    [
        ("/studies/1/series/2/instances/3/frames/12", 12),
        ("http://h/x/frames/7/", 7),
        ("http://h/x/frames/7?y=1", 7),
        ("http://h/x/frames/7,8", None),
        ("frames/7", 7),
        ("<http://h/x/Frames//7/>", 7),
        (' "/frames/7#x"', 7),
        ("/myframes/7", None),
        ("http://h/x/instances/3", None),
        ("", None),
    ],
)
def test_frame_number(location: str, number: int | None) -> None:
    assert Part({"content-location": location}, b"").frame_number == number


@pytest.mark.parametrize(
    ("location", "instance"),
    [
        ("/studies/1/series/2/instances/3/frames/12", "3"),
        ("http://h/x/instances/3/bulkdata/7FE00010", "3"),
        ("http://h/x/Instances/3", "3"),
        ("https://h/instances/prod/dicom-web/studies/1/series/2/instances/3/frames/1", "3"),
        ("instances/3/", "3"),
        ("/myinstances/3", None),
        ("/studies/1/series/2/instances/", None),
        ("frames/7", None),
        ("", None),
    ],
)
def test_instance(location: str, instance: str | None) -> None:
    assert Part({"content-location": location}, b"").instance == instance


@pytest.mark.parametrize(
    "content_type",
    [
        f"multipart/related; boundary={BOUNDARY}",
        f'multipart/related;boundary="{BOUNDARY}"',
        f'multipart/related; type="image/jpeg; transfer-syntax=1.2.840.10008.1.2.4.50"; boundary={BOUNDARY}',
        f'Multipart/Related; start="<a;boundary=no>"; BOUNDARY = {BOUNDARY} ; type=image/jpeg',
        f"multipart/related; type=image/jpeg; transfer-syntax=1.2; boundary={BOUNDARY}",
        "multipart/related",
        "",
    ],
)
def test_boundary_in_every_spelling(content_type: str) -> None:
    assert [part.body for part in parse([build([b"one", b"two"])], content_type)] == [b"one", b"two"]


def test_boundary_sniffed_byte_by_byte() -> None:
    whole = b"\r\n" + build([b"one"])
    assert [part.body for part in parse([bytes([byte]) for byte in whole], "multipart/related")] == [b"one"]


def test_preamble_epilogue_and_missing_line_ends() -> None:
    whole = b"For old readers --" + BOUNDARY.encode() + b"\r\n" + build([b"one", b"two"]) + b"\r\n--epilogue--"
    assert [part.body for part in parse([whole])] == [b"one", b"two"]
    assert [part.body for part in parse([build([b"one"])[:-2]])] == [b"one"]
    glued = build([b"one"]).replace(b"one\r\n", b"one")
    assert [part.body for part in parse([glued])] == [b"one"]


def test_padding_after_the_boundary_and_folded_headers() -> None:
    body = b"--b \t\r\nContent-Type: image/jpeg;\r\n transfer-syntax=1.2.3\r\n\r\nx\r\n--b--"
    (part,) = parse([body], "multipart/related; boundary=b")
    assert (part.body, part.transfer_syntax) == (b"x", "1.2.3")


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"--b\r\nContent-Length: 3\r\n\r\nfour\r\n--b--", "No boundary follows the 3 bytes"),
        (b"--b\r\nContent-Length: -3\r\n\r\nfour\r\n--b--", "is no number"),
        (b"--b\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\nfour\r\n--b--", "is no number"),
        (b"--b\r\nno colon\r\n\r\nfour\r\n--b--", "no colon"),
        (b"--b\r\nContent-Location: /frames/1\r\ncontent-location: /frames/2\r\n\r\nx\r\n--b--", "which differ"),
        (b"--b\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx\r\n--b--", "which differ"),
        (b"--b\r\nContent-Transfer-Encoding: base64\r\n\r\nfour\r\n--b--", "binary"),
        (b"--b\r\nContent-Range: bytes 0-3/8\r\n\r\nfour\r\n--b--", "range of bytes"),
        (b"--bX\r\n\r\nfour\r\n--b--", "line end"),
        (b"--b-\r\n\r\nfour\r\n--b--", "line end"),
        (b"--b\r\nX: " + b"x" * 20_000, "longer than"),
        (b"--b" + b" " * 2000, "line end"),
    ],
)
def test_malformed(body: bytes, message: str) -> None:
    for chunks in ([body], [bytes([byte]) for byte in body]):
        with pytest.raises(MultipartError, match=message):
            parse(chunks, "multipart/related; boundary=b")


@pytest.mark.parametrize("body", [b"<html>\n", b"x" * 3000, b"--\n", b"--" + b"x" * 300 + b"\n"])
def test_nothing_to_sniff(body: bytes) -> None:
    with pytest.raises(MultipartError, match="names no boundary"):
        parse([body], "multipart/related")


def test_empty_body_is_truncated() -> None:
    with pytest.raises(TruncatedReplyError):
        parse([])


def test_parts_before_a_fault_are_given() -> None:
    parser = MultipartParser("multipart/related; boundary=b")
    good = b"--b\r\nContent-Length: 1\r\n\r\nx\r\n"
    parts = parser.feed(good + b"--b\r\nno colon\r\n\r\n")
    assert [part.body for part in parts] == [b"x"]
    with pytest.raises(MultipartError):
        parser.close()


def test_media_type_of_orthanc() -> None:
    media = MediaType.parse('multipart/related; type="image/jpeg; transfer-syntax=1.2.840.10008.1.2.4.50"; boundary=x')
    assert media.is_multipart
    assert media.transfer_syntax == "1.2.840.10008.1.2.4.50"
    assert MediaType.parse("application/octet-stream; transfer-syntax=*").transfer_syntax is None
