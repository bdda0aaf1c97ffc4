"""Frames of files that are read piece by piece: the same as of whole ones, with few reads."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import pytest
from pydicom.encaps import encapsulate, encapsulate_extended
from pydicom.uid import ExplicitVRLittleEndian, JPEGBaseline8Bit
from test_part10 import PYDICOM_FILES, READABLE, codestreams, items, make_file, opened, samples

from dicomzarr.dicom import uids
from dicomzarr.dicom.files import excerpt
from dicomzarr.dicom.files.data_set import data_set_header
from dicomzarr.dicom.files.file_meta import FileMeta, read_file_meta
from dicomzarr.dicom.files.part10 import locate_frames
from dicomzarr.dicom.files.random_access import Window
from dicomzarr.errors import InvalidFileError, TruncatedFileError

if TYPE_CHECKING:
    from dicomzarr.dicom.files.part10 import StoredFrames


class Counted:
    """A file that counts how it is read."""

    def __init__(self, body: bytes) -> None:
        self.body = body
        self.reads: list[int] = []

    def __len__(self) -> int:
        return len(self.body)

    def __getitem__(self, span: slice) -> bytes:
        found = self.body[span]
        self.reads.append(len(found))
        return found


def located(file: Counted) -> StoredFrames:
    return locate_frames(file, read_file_meta(Window(file)))


def frames_of(file: Counted) -> list[bytes]:
    frames = located(file).frames
    return [frames.cut(number) for number in range(1, len(frames) + 1)]


@pytest.mark.parametrize("name", [name for name in READABLE if name != "image_dfl"])
def test_files_of_pydicom(name: str) -> None:
    body = (PYDICOM_FILES / f"{name}.dcm").read_bytes()
    whole, found = opened(body), located(Counted(body))
    assert (found.sop_instance_uid, found.frames.transfer_syntax_uid, len(found.frames)) == (
        whole.sop_instance_uid,
        whole.frames.transfer_syntax_uid,
        len(whole.frames),
    )
    assert (found.header.numbers, found.header.study) == (whole.header.numbers, whole.header.study)
    for number in range(1, len(whole.frames) + 1):
        assert found.frames.cut(number) == whole.frames.cut(number)
        pieces = [span.of(memoryview(body)) for span in found.frames.spans(number)]
        assert found.frames.assemble(number, pieces) == whole.frames.cut(number)


@pytest.mark.parametrize("fragments", [1, 2, 3])
@pytest.mark.parametrize("has_bot", [True, False])
def test_fragments(fragments: int, has_bot: bool) -> None:  # noqa: FBT001  # a parameter
    frames = codestreams("jpeg2000_lossless")
    value = encapsulate(frames, fragments_per_frame=fragments, has_bot=has_bot)
    assert frames_of(Counted(make_file(JPEGBaseline8Bit, PixelData=value, NumberOfFrames=3))) == frames


@pytest.mark.parametrize("table", ["basic", "extended", "none", "native"])
def test_one_frame_of_many_is_few_reads(table: str) -> None:
    frames = [struct.pack("<I", number) * 10_000 for number in range(200)]
    if table == "native":
        attributes = {"Rows": 100, "Columns": 400, "PixelData": b"".join(frames)}
        file = Counted(make_file(ExplicitVRLittleEndian, NumberOfFrames=200, **attributes))
    elif table == "extended":
        value, offsets, lengths = encapsulate_extended(frames)
        tables = {"ExtendedOffsetTable": offsets, "ExtendedOffsetTableLengths": lengths}
        file = Counted(make_file(JPEGBaseline8Bit, PixelData=value, NumberOfFrames=200, **tables))
    else:
        value = encapsulate(frames, has_bot=table == "basic")
        file = Counted(make_file(JPEGBaseline8Bit, PixelData=value, NumberOfFrames=200))
    found = located(file).frames
    assert sum(file.reads) < 300_000
    assert len(file.reads) < (300 if table == "none" else 8)
    file.reads.clear()
    assert found.cut(117) == frames[116]
    assert found.cut(200) == frames[199]
    assert len(file.reads) == 2
    assert sum(file.reads) <= 2 * (len(frames[0]) + 8)


@pytest.mark.parametrize(
    "table",
    [(0, 1, 2), (0, 0, 0), (2**32 - 1,) * 3, (8, 16, 24), (0, 16, 32), (0, 20, 40), (0, 10**6, 2 * 10**6)],
)
def test_a_wrong_table_is_a_scan(table: tuple[int, ...]) -> None:
    frames = codestreams()
    value = items(struct.pack("<3I", *table), *frames)
    assert frames_of(Counted(make_file(JPEGBaseline8Bit, PixelData=value, NumberOfFrames=3))) == frames


def test_a_table_that_is_wrong_in_the_middle_is_one_scan() -> None:
    frames = [bytes([number]) * 1000 for number in range(100)]
    places = [number * 1008 for number in range(100)]
    places[50] += 10
    value = items(struct.pack("<100I", *places), *frames)
    file = Counted(make_file(JPEGBaseline8Bit, PixelData=value, NumberOfFrames=100))
    found = located(file).frames
    assert found.cut(1) == frames[0]
    file.reads.clear()
    assert found.cut(51) == frames[50]
    assert len(file.reads) > 100
    file.reads.clear()
    assert [found.cut(number) for number in (50, 51, 100)] == [frames[49], frames[50], frames[99]]
    assert len(file.reads) == 3


@pytest.mark.parametrize("name", ["native", "implicit", "offsets", "markers"])
def test_a_file_that_is_cut_anywhere_is_an_error(name: str) -> None:
    sample = samples()[name]
    assert frames_of(Counted(sample.body)) == list(sample.frames)
    whole = len(sample.body) - (8 if name in {"offsets", "markers"} else 0)
    for length in range(whole):
        with pytest.raises(InvalidFileError):
            frames_of(Counted(sample.body[:length]))
    for length in range(whole, len(sample.body)):  # the delimiter lacks alone, behind the end of a codestream
        assert frames_of(Counted(sample.body[:length])) == list(sample.frames)


@pytest.mark.parametrize("name", ["native", "implicit", "offsets"])
def test_frames_before_the_end_of_a_file_that_is_cut_are_read(name: str) -> None:
    sample = samples()[name]
    spans = [
        span
        for number in range(1, len(sample.frames) + 1)
        for span in located(Counted(sample.body)).frames.spans(number)
    ]
    for length in range(spans[0].offset, spans[-1].offset + spans[-1].length, 7):
        cut = located(Counted(sample.body[:length])).frames
        for number, (frame, span) in enumerate(zip(sample.frames, spans, strict=True), 1):
            if span.offset + span.length <= length:
                assert cut.cut(number) == frame
            else:
                with pytest.raises(TruncatedFileError):
                    cut.cut(number)


def test_a_delimiter_that_lacks_is_an_error_where_more_may_lack() -> None:
    frames = [bytes(1000), bytes(1000)]
    body = make_file(JPEGBaseline8Bit, PixelData=encapsulate(frames, has_bot=True), NumberOfFrames=2)
    assert frames_of(Counted(body)) == frames
    with pytest.raises(TruncatedFileError):
        frames_of(Counted(body[:-8]))


def test_a_file_that_shrinks_is_an_error() -> None:
    file = Counted(samples()["native"].body)
    frames = located(file).frames
    file.body = file.body[:-20]
    with pytest.raises(TruncatedFileError):
        frames.cut(2)


def test_attributes_without_end_are_not_read_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(excerpt, "MOST_BEGINNING", 8 * 2**20)

    class Endless:
        """One private sequence of undefined length, in explicit VR, with as many items as anybody wants."""

        read = 0

        def __len__(self) -> int:
            return 2**40

        def __getitem__(self, span: slice) -> bytes:
            self.read += span.stop - span.start
            item = struct.pack("<HHI", 0xFFFE, 0xE000, 2**18 - 8) + bytes(2**18 - 8)
            body = b"\x09\0\x01\x10SQ\0\0\xff\xff\xff\xff"[span.start :]
            at = max(0, span.start - 12) % 2**18
            return (body + item[at:] + item * (2 + (span.stop - span.start) // 2**18))[: span.stop - span.start]

    file = Endless()
    with pytest.raises(InvalidFileError, match="No pixel data within"):
        data_set_header(Window(file), 0, FileMeta(uids.EXPLICIT_VR_LITTLE_ENDIAN, 0), complete=True)
    assert file.read <= 24 * 2**20
