"""Palettes, plain and in segments, against pydicom and against what they were made from."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import Dataset
from pydicom.data import get_palette_files, get_testdata_file
from pydicom.dataset import FileMetaDataset
from pydicom.pixels.processing import apply_color_lut
from pydicom.uid import ExplicitVRLittleEndian

from dicomzarr.dicom.lut.lookup import LookupTable, LutDescriptor, read_descriptor, read_table
from dicomzarr.dicom.lut.palette import Palette, build_palette, read_segmented_table
from dicomzarr.dicom.model.binary import BinaryLeaf
from dicomzarr.dicom.model.json_model import Leaf
from dicomzarr.errors import InvalidAttributeError

if TYPE_CHECKING:
    import numpy.typing as npt

UID = "1.2.3"
COLOURS = ("Red", "Green", "Blue")
NAME = "SegmentedRedPaletteColorLookupTableData"
quick = settings(deadline=None, database=None)


def palette_of(data: Dataset) -> Palette:
    """The palette of a dataset, by way of its JSON."""
    attributes = data.to_json_dict()
    tables = []
    for colour in COLOURS:
        keyword = f"{colour}PaletteColorLookupTable"
        segmented = f"Segmented{keyword}Data" in data
        descriptor = read_descriptor(
            decoded(Leaf, attributes, f"{keyword}Descriptor"),
            signed=data.get("PixelRepresentation") == 1,
            name=f"{keyword}Descriptor",
            instance=UID,
        )
        name = f"Segmented{keyword}Data" if segmented else f"{keyword}Data"
        content = decoded(BinaryLeaf, attributes, name).octets(name, UID)
        assert content is not None
        read = read_segmented_table if segmented else read_table
        tables.append((descriptor, read(descriptor, content, name=name, instance=UID)))
    palette = build_palette(*(table for _, table in tables))
    assert palette.dtype == ("u1" if all(descriptor.bits == 8 for descriptor, _ in tables) else "<u2")
    return palette


def decoded(kind: Any, attributes: dict[str, Any], keyword: str) -> Any:
    tag = pydicom.datadict.tag_for_keyword(keyword)
    assert tag is not None
    return msgspec.json.decode(json.dumps(attributes[f"{tag:08X}"]), type=kind)


def dataset(descriptor: list[int], contents: list[bytes], *, segmented: bool = False, vr: str = "US") -> Dataset:
    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.PixelRepresentation = 1 if vr == "SS" else 0
    for number, content in enumerate(contents):
        data.add_new(0x00281101 + number, vr, descriptor)
        data.add_new((0x00281221 if segmented else 0x00281201) + number, "OW", content)
    return data


def planes_last(colours: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return np.moveaxis(colours, 0, -1)


# --- plain palettes ---


@pytest.mark.parametrize("name", ["hotiron", "hotmetalblue", "pet", "pet20step", "spring", "summer", "fall", "winter"])
def test_well_known_palettes(name: str) -> None:
    """PS3.6 annex B: half of them are stored in segments."""
    data = pydicom.dcmread(get_palette_files(f"{name}.dcm")[0])
    pixels = np.arange(256, dtype=np.uint8).reshape(1, 16, 16)
    found = palette_of(data).apply(pixels)
    assert found.dtype == np.uint8
    assert found.shape == (3, 16, 16)
    assert np.array_equal(planes_last(found), apply_color_lut(pixels[0], data))


def test_a_real_image() -> None:
    data = pydicom.dcmread(str(get_testdata_file("examples_palette.dcm")))
    stored = data.pixel_array
    found = palette_of(data).apply(stored[np.newaxis])
    assert found.dtype == np.uint16
    assert np.array_equal(planes_last(found), apply_color_lut(stored, data))


@quick
@given(
    bits=st.sampled_from([8, 16]),
    count=st.integers(1, 200),
    first=st.integers(-100, 100),
    signed=st.booleans(),
    seed=st.integers(0, 999),
)
def test_made_palettes_agree_with_pydicom(bits: int, count: int, first: int, signed: bool, seed: int) -> None:  # noqa: FBT001
    random = np.random.default_rng(seed)
    dtype = np.dtype(f"<u{bits // 8}")
    entries = random.integers(0, 1 << bits, (3, count), dtype=dtype)
    entries[:, -1] = np.iinfo(dtype).max  # spans the range
    first = first if signed else abs(first)
    contents = [plane.tobytes() for plane in entries]
    padded = [content + b"\0" * (len(content) % 2) for content in contents]
    pixels = random.integers(0 if not signed else -128, 128, (1, 5, 7)).astype(np.int16 if signed else np.uint16)
    vr = "SS" if signed else "US"
    found = palette_of(dataset([count, first, bits], padded, vr=vr)).apply(pixels)
    expected = [
        [plane[min(max(value - first, 0), count - 1)] for value in pixels.ravel().tolist()] for plane in entries
    ]
    assert np.array_equal(found.reshape(3, -1), expected)
    oracle = apply_color_lut(pixels[0], dataset([count, first, bits], contents, vr=vr))
    assert np.array_equal(planes_last(found), oracle)


def table(entries: list[int], dtype: str, bits: int) -> LookupTable:
    return LookupTable(0, np.array(entries, dtype), bits)


@pytest.mark.parametrize(
    ("stored", "bits", "dtype", "expected"),
    [
        pytest.param([0, 128, 255], 8, "u1", [0, 128, 255], id="bytes"),
        pytest.param([0, 128, 65535], 16, "<u2", [0, 128, 65535], id="words"),
        pytest.param([0, 0x8000, 0xFF00], 16, "<u2", [0, 0x8000, 0xFF00], id="high_bytes_of_words"),
        pytest.param([0, 0x8080, 0xFFFF], 16, "<u2", [0, 0x8080, 0xFFFF], id="both_bytes_of_words"),
        pytest.param([0, 128, 255], 16, "<u2", [0, 0x8080, 0xFFFF], id="low_bytes_of_words"),
        pytest.param([0, 128, 255], 16, "u1", [0, 0x8080, 0xFFFF], id="bytes_described_as_words"),
        pytest.param([0, 2048, 4095], 12, "<u2", [0, round(2048 * 65535 / 4095), 65535], id="twelve_bits"),
        pytest.param([0, 2048, 65535], 12, "<u2", [0, 2048, 65535], id="more_than_twelve_bits"),
        pytest.param([0, 0x8080, 0xFFFF], 8, "<u2", [0, 128, 255], id="words_described_as_bytes"),
        pytest.param([0, 0, 0], 16, "<u2", [0, 0, 0], id="black"),
        pytest.param([0, 1, 256], 16, "<u2", [0, 1, 256], id="dark_words"),
        pytest.param([0, 1, 4096], 12, "<u2", [0, 1, 4096], id="just_more_than_twelve_bits"),
    ],
)
def test_entries_span_the_range(stored: list[int], bits: int, dtype: str, expected: list[int]) -> None:
    palette = build_palette(*[table(stored, dtype, bits)] * 3)
    colours = palette.apply(np.array([[[0, 1, 2]]], np.uint8))
    assert colours.tolist() == [[expected]] * 3
    assert colours.dtype == palette.dtype == ("u1" if bits == 8 else "<u2")


@pytest.mark.parametrize(("bits", "shown"), [(16, [255, 65535, 7]), (12, [255, 65535, 7]), (8, [1, 255, 0])])
def test_a_dark_colour_among_bright_ones_is_dark(bits: int, shown: list[int]) -> None:
    palette = build_palette(*(table(entries, "<u2", bits) for entries in ([0, 255], [0, 65535], [0, 7])))
    assert palette.apply(np.array([[[1]]], np.uint8)).ravel().tolist() == shown


def test_colours_of_different_bits() -> None:
    palette = build_palette(table([0, 255], "u1", 8), table([0, 65535], "<u2", 16), table([0, 128], "u1", 8))
    assert palette.apply(np.array([[[1]]], np.uint8)).ravel().tolist() == [65535, 65535, 0x8080]


# --- segments: PS3.3 section C.7.9.2 ---

Segment = tuple[int, Any, Any]
DISCRETE, LINEAR, INDIRECT = 0, 1, 2


def encoded(segments: list[Segment], bits: int) -> bytes:
    """Discrete (0, entries, None), linear (1, length, end), indirect (2, how many, index of the first)."""
    dtype = np.dtype(f"<u{bits // 8}")
    parts: list[bytes] = []
    for opcode, what, end in segments:
        if opcode == DISCRETE:
            parts.append(np.array([0, len(what), *what], dtype).tobytes())
        elif opcode == LINEAR:
            parts.append(np.array([1, what, end], dtype).tobytes())
        else:
            offset = sum(map(len, parts[:end]))
            parts.append(np.array([2, what], dtype).tobytes() + offset.to_bytes(4, "little"))
    joined = b"".join(parts)
    return joined + b"\0" * (len(joined) % 2)


def entries_of(segments: list[Segment]) -> list[int]:
    entries: list[int] = []
    for opcode, what, end in segments:
        if opcode == DISCRETE:
            entries += what
        elif opcode == LINEAR:
            start = entries[-1]
            entries += [halves_to_even(start * what + (end - start) * step, what) for step in range(1, what + 1)]
        else:
            entries = entries_of([(DISCRETE, entries, None), *segments[end : end + what]])
    return entries


def halves_to_even(numerator: int, denominator: int) -> int:
    below, rest = divmod(numerator, denominator)
    return below + (2 * rest > denominator or (2 * rest == denominator and below % 2 == 1))


def expand(content: bytes, count: int, bits: int) -> LookupTable:
    descriptor = LutDescriptor(count, 0, bits)
    return read_segmented_table(descriptor, np.frombuffer(content, np.uint8), name=NAME, instance=UID)


@st.composite
def segment_lists(draw: st.DrawFn, top: int, *, indirect: bool) -> list[Segment]:
    values = st.integers(0, top)
    discrete = st.tuples(st.just(DISCRETE), st.lists(values, min_size=1, max_size=5), st.none())
    linear = st.tuples(st.just(LINEAR), st.integers(1, 40), values)
    segments: list[Segment] = [draw(discrete), *draw(st.lists(st.one_of(discrete, linear), max_size=6))]
    if indirect:
        for _ in range(draw(st.integers(0, 3))):
            first = draw(st.integers(0, len(segments) - 1))
            run = next((n for n, each in enumerate(segments[first:]) if each[0] == INDIRECT), len(segments) - first)
            if run:
                segments.append((INDIRECT, draw(st.integers(1, run)), first))
    return segments


@pytest.mark.parametrize("bits", [8, 16])
@quick
@given(data=st.data())
def test_segments_are_expanded(bits: int, data: st.DataObject) -> None:
    segments = data.draw(segment_lists((1 << bits) - 1, indirect=True))
    entries = entries_of(segments)
    found = expand(encoded(segments, bits), len(entries), bits)
    assert found.entries.tolist() == entries
    assert found.entries.dtype == np.dtype(f"<u{bits // 8}")


@pytest.mark.parametrize("bits", [8, 16])
@quick
@given(data=st.data())
def test_expansion_agrees_with_pydicom(bits: int, data: st.DataObject) -> None:
    """Within one: pydicom rounds halves as its floating point happens to fall."""
    segments = data.draw(segment_lists((1 << bits) - 1, indirect=False))
    agree_with_pydicom(segments, bits, within=1)


@pytest.mark.parametrize("bits", [8, 16])
def test_copies_agree_with_pydicom(bits: int) -> None:
    """For words pydicom takes the offset for one in words; at the beginning it is the same."""
    segments = [(DISCRETE, [3, 60, 7], None), (LINEAR, 4, 15), (INDIRECT, 2, 0), (DISCRETE, [9], None)]
    agree_with_pydicom(segments, bits, within=0)


def test_copies_of_later_segments_agree_with_pydicom() -> None:
    segments = [(DISCRETE, [3, 60, 7], None), (LINEAR, 4, 15), (DISCRETE, [9], None), (INDIRECT, 2, 1)]
    agree_with_pydicom(segments, 8, within=0)


def agree_with_pydicom(segments: list[Segment], bits: int, *, within: int) -> None:
    entries = entries_of(segments)
    data = dataset([len(entries), 0, bits], [encoded(segments, bits)] * 3, segmented=True)
    pixels = np.arange(min(len(entries), 256), dtype=np.uint16)
    oracle = apply_color_lut(pixels, data)[:, 0]
    found = expand(encoded(segments, bits), len(entries), bits).apply(pixels)
    assert np.abs(found.astype(int) - oracle).max() <= within


def test_a_copy_may_start_with_a_line_from_zero() -> None:
    """Where pydicom raises: it takes a last entry of zero for none."""
    segments = [(DISCRETE, [8], None), (LINEAR, 4, 0), (INDIRECT, 1, 1)]
    assert expand(encoded(segments, 8), 9, 8).entries.tolist() == [8, 6, 4, 2, 0, 0, 0, 0, 0]


def test_a_line_as_long_as_a_table() -> None:
    segments = [(DISCRETE, [0], None), (LINEAR, 65535, 65535)]
    assert expand(encoded(segments, 16), 65536, 16).entries.tolist() == list(range(65536))


def words(*values: int) -> bytes:
    return np.array(values, "<u2").tobytes()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(b"", "segments for 0 entries, not for 8", id="nothing"),
        pytest.param(words(0, 3, 1, 2, 3), "segments for 3 entries, not for 8", id="too_few"),
        pytest.param(words(0, 9, *range(9)), "more than 8 entries", id="too_many"),
        pytest.param(words(0, 8, *range(8), 1, 1, 5), "more than 8 entries", id="a_line_too_many"),
        pytest.param(words(0, 8, *range(8), 2, 1, 0, 0), "more than 8 entries", id="a_copy_too_many"),
        pytest.param(words(1, 8, 5), "begins with a linear segment", id="line_first"),
        pytest.param(words(2, 1, 8, 0, 1, 8, 5), "begins with a linear segment", id="line_first_by_copy"),
        pytest.param(words(0, 4, 1, 2, 3), "needs 12 bytes for its segments, found 10", id="cut_off"),
        pytest.param(words(0, 1, 5, 1, 4), "needs 12 bytes for its segments, found 10", id="line_cut_off"),
        pytest.param(words(0, 1, 5, 2, 1, 0), "needs 14 bytes for its segments, found 12", id="copy_cut_off"),
        pytest.param(words(3, 1, 5), "segment of the kind 3 at byte 0", id="kind_3"),
        pytest.param(words(0, 1, 5, 65535, 1, 5), "segment of the kind 65535 at byte 6", id="kind_65535"),
        pytest.param(words(0, 0, 0, 1, 5), "empty segment at byte 0", id="discrete_empty"),
        pytest.param(words(0, 1, 5, 1, 0, 9), "empty segment at byte 6", id="line_empty"),
        pytest.param(words(0, 1, 5, 2, 0, 0, 0), "empty segment at byte 6", id="copy_empty"),
        pytest.param(words(0, 1, 5, 2, 1, 6, 0), "kind 2 within an indirect one at byte 6", id="copy_of_itself"),
        pytest.param(words(0, 1, 5, 2, 2, 0, 0), "kind 2 within an indirect one at byte 6", id="copy_into_itself"),
        pytest.param(words(0, 1, 5, 2, 1, 3, 0), "refers to byte 3, within a word", id="copy_of_half_a_word"),
        pytest.param(words(0, 1, 5, 2, 1, 0, 9), "needs 589828 bytes", id="copy_of_what_is_beyond"),
        pytest.param(words(0, 1, 5, 2, 1, 65534, 65535), "needs 4294967298 bytes", id="copy_of_what_is_far_beyond"),
        pytest.param(words(0, 1, 5, 2, 9, 14, 0, 0, 1, 6), "needs .* bytes", id="copy_past_the_end"),
    ],
)
def test_broken_segments_name_the_attribute(content: bytes, message: str) -> None:
    with pytest.raises(InvalidAttributeError, match=rf"Instance {UID}: {NAME} .*{message}"):
        expand(content, 8, 16)


def test_hostile_segments_cost_little() -> None:
    many_copies = words(0, 1, 5, *[2, 65535, 0, 0] * 100_000)
    many_entries = words(0, 1, 5, *[0, 1, 5] * 65_000, *[2, 65535, 0, 0] * 100_000)
    started = time.thread_time()
    for content in (many_copies, many_entries):
        with pytest.raises(InvalidAttributeError):
            expand(content, 65536, 16)
    assert time.thread_time() - started < 5


@pytest.mark.parametrize("bits", [8, 16])
@quick
@given(content=st.binary(max_size=200))
def test_any_bytes_make_a_table_or_a_typed_error(bits: int, content: bytes) -> None:
    try:
        found = expand(content, 20, bits)
    except InvalidAttributeError:
        return
    assert found.entries.size == 20
