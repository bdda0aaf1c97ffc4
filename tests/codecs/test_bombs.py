"""Codestreams of few bytes that would take gigabytes or minutes: refused unseen by a decoder, or decoded in bounds."""

from __future__ import annotations

from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import imagecodecs
import numpy as np
import pytest
from crafted_headers import MANY_PLANES, Cut, jpeg, jpeg2000, jpeg2000_of_passes, jpegxl, rle, segment
from serving import run_python
from waiting import BUSY

from dicomzarr.codecs import compressed as compressed_module
from dicomzarr.codecs import decode as decode_module
from dicomzarr.codecs.budget import Budget
from dicomzarr.codecs.decode import decode_frame
from dicomzarr.codecs.reduced import decode_reduced
from dicomzarr.dicom import uids
from dicomzarr.dicom.pixels.jpeg_markers import _read_header, read_jpeg
from dicomzarr.dicom.pixels.pixels import PixelDescription
from dicomzarr.errors import FrameDecodeError
from dicomzarr.options import LIMITS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

WHERE: Final = "study 1.2, series 1.3, instance 1.4, frame 5"
TINY: Final = Cut(0, (0, 0)).coding_style()
USUAL: Final = Cut().coding_style()

BOMBS: Final[dict[str, tuple[bytes, int, str]]] = {
    "code-blocks of 4 x 4": (jpeg2000(8192, 8192, main=TINY), 8192, uids.JPEG_2000_LOSSLESS),
    "such blocks for one component": (
        jpeg2000(8192, 8192, main=USUAL + Cut(0, (0, 0)).component_style()),
        8192,
        uids.JPEG_2000_LOSSLESS,
    ),
    "such blocks in the header of a tile": (jpeg2000(8192, 8192, main=USUAL, part=TINY), 8192, uids.JPEG_2000_LOSSLESS),
    "code-blocks of 4 x 4 with many bytes": (
        jpeg2000(4096, 4096, main=TINY, body=bytes(1_200_000)),
        4096,
        uids.JPEG_2000_LOSSLESS,
    ),
    "precincts of 1 x 1": (
        jpeg2000(2048, 2048, main=Cut(0, precincts=b"\0").coding_style()),
        2048,
        uids.JPEG_2000_LOSSLESS,
    ),
    "precincts of 2 x 2 with as many bytes": (
        jpeg2000(2048, 2048, main=Cut(1, precincts=b"\x11\x11").coding_style(), body=bytes(2**21)),
        2048,
        uids.JPEG_2000_LOSSLESS,
    ),
    "32 levels of small precincts": (
        jpeg2000(4096, 4096, main=Cut(32, (0, 0), b"\x22" * 33).coding_style(), body=bytes(2**21)),
        4096,
        uids.JPEG_2000_LOSSLESS,
    ),
    "layers without an end": (
        jpeg2000(4096, 4096, main=Cut(layers=65535).coding_style()),
        4096,
        uids.JPEG_2000_LOSSLESS,
    ),
    "65535 tiles": (jpeg2000(4096, 4080, tile=(16, 16), main=USUAL), 4096, uids.JPEG_2000_LOSSLESS),
    "code-blocks of 4 x 4 in HTJ2K": (
        jpeg2000(8192, 8192, main=Cut(0, (0, 0), style=0x40).coding_style(), high_throughput=True),
        8192,
        uids.HTJ2K_LOSSLESS,
    ),
    "styles that all differ": (
        jpeg2000(64, 64, main=b"".join(Cut(layers=1 + number).coding_style() for number in range(2000))),
        64,
        uids.JPEG_2000_LOSSLESS,
    ),
    "passes without an end": (
        jpeg2000(8192, 8192, main=USUAL, quantization=MANY_PLANES, body=bytes(90_000)),
        8192,
        uids.JPEG_2000_LOSSLESS,
    ),
    "passes of a region": (
        jpeg2000(8192, 8192, main=USUAL + segment(0xFF5E, b"\0\0\x20"), body=bytes(90_000)),
        8192,
        uids.JPEG_2000_LOSSLESS,
    ),
    "passes for one component": (
        jpeg2000(8192, 8192, main=USUAL + segment(0xFF5D, b"\0\xe0" + b"\xa0" * 16), body=bytes(90_000)),
        8192,
        uids.JPEG_2000_LOSSLESS,
    ),
    "a blank of 16384 x 16384": (jpeg2000(16384, 16384, main=USUAL), 16384, uids.JPEG_2000_LOSSLESS),
    "fifty scans of 16384 x 16384": (jpeg(16384, 16384, scans=50, body=bytes(4000)), 16384, uids.JPEG_BASELINE),
    "fifty scans of 10000 x 10000": (jpeg(10000, 10000, scans=50, body=bytes(4000)), 10000, uids.JPEG_BASELINE),
    "a thousand scans": (jpeg(64, 64, scans=1000), 64, uids.JPEG_BASELINE),
}
"""Each with its side in pixels, and the transfer syntax."""


def described(data: bytes, side: int) -> PixelDescription:
    """What metadata say that agree with it."""
    rows, columns = side, 4080 if b"\x00\x00\x0f\xf0\x00\x00\x10\x00" in data[:64] else side
    return PixelDescription(rows, columns, 1, 8, 8, 7, signed=False, photometric_interpretation="MONOCHROME2")


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_refused_before_a_decoder_sees_it(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def explodes(*_: object, **__: object) -> None:
        pytest.fail("the decoder was called")

    for decoder in ("jpeg8_decode", "jpeg2k_decode"):
        monkeypatch.setattr(imagecodecs, decoder, explodes)
    data, side, uid = BOMBS[name]
    with pytest.raises(FrameDecodeError) as caught:
        decode_frame(data, described(data, side), transfer_syntax_uid=uid, where=WHERE)
    assert WHERE in str(caught.value)


@pytest.mark.parametrize("name", [name for name in BOMBS if "scans" in name])
def test_a_bomb_is_refused_where_a_level_is_made_of_it(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(imagecodecs, "jpeg8_decode", lambda *_, **__: pytest.fail("the decoder was called"))
    data, side, uid = BOMBS[name]
    with pytest.raises(FrameDecodeError):
        decode_reduced(data, described(data, side), 2, transfer_syntax_uid=uid, where=WHERE)


@pytest.mark.parametrize("name", ["j2k_8192_precincts_1x1.j2k", "j2k_16384_codeblocks_4x4.j2k"])
def test_a_bomb_of_others_is_refused_in_no_time_and_memory(shared_dir: Path, name: str) -> None:
    side = int(name.split("_")[1])
    found = decoded_elsewhere(shared_dir / "hostile" / name, side, uids.JPEG_2000_LOSSLESS)
    assert found["error"] == "FrameDecodeError"
    assert found["seconds"] < 10 * BUSY
    assert found["mebibytes"] < 500


IN_BOUNDS: Final[dict[str, tuple[bytes, int, str]]] = {
    "code-blocks of 4 x 4": (jpeg2000(2048, 2048, main=TINY), 2048, uids.JPEG_2000_LOSSLESS),
    "precincts of 4 x 4 with as many bytes": (
        jpeg2000(1024, 1024, main=Cut(1, precincts=b"\x22\x22").coding_style(), body=bytes(2**18)),
        1024,
        uids.JPEG_2000_LOSSLESS,
    ),
    "a blank of 8192 x 8192": (jpeg2000(8192, 8192, main=USUAL), 8192, uids.JPEG_2000_LOSSLESS),
    "as many passes as may be": (jpeg2000_of_passes(5300), 5300, uids.JPEG_2000_LOSSLESS),
    "twenty scans of 8192 x 8192": (jpeg(8192, 8192, scans=20, body=bytes(500)), 8192, uids.JPEG_BASELINE),
    "many layers": (
        jpeg2000(1024, 1024, main=Cut(layers=10000).coding_style(), body=bytes(60000)),
        1024,
        uids.JPEG_2000_LOSSLESS,
    ),
}
"""What is just not refused."""


@pytest.mark.slow
@pytest.mark.parametrize("name", IN_BOUNDS)
def test_what_is_just_not_refused_takes_bounded_time_and_memory(tmp_path: Path, name: str) -> None:
    data, side, uid = IN_BOUNDS[name]
    (tmp_path / "frame").write_bytes(data)
    found = decoded_elsewhere(tmp_path / "frame", side, uid)
    assert found["seconds"] < 10 * BUSY, found
    assert found["mebibytes"] < 500, found


def decoded_elsewhere(file: Path, side: int, uid: str) -> dict[str, Any]:
    """How long a process takes to decode what a file holds, and how much memory it ever had."""
    found: dict[str, Any] = run_python(CHILD, str(file), str(side), uid)
    return found


CHILD: Final = """
import json, resource, sys, time
from dicomzarr.codecs.decode import decode_frame
from dicomzarr.dicom.pixels.pixels import PixelDescription

file, side, uid = sys.argv[1], int(sys.argv[2]), sys.argv[3]
pixel = PixelDescription(side, side, 1, 8, 8, 7, signed=False, photometric_interpretation="MONOCHROME2")
resource.setrlimit(resource.RLIMIT_AS, (8 << 30, 8 << 30))
began, error = time.process_time(), ""
try:
    decode_frame(open(file, "rb").read(), pixel, transfer_syntax_uid=uid, where="frame 1")
except Exception as failure:
    error = type(failure).__name__
seconds = time.process_time() - began
most = int(open("/proc/self/status").read().split("VmHWM:")[1].split()[0])  # getrusage counts the parent's, too
print(json.dumps({"error": error, "seconds": seconds, "mebibytes": most // 1024}))
"""


# Bounds that can be changed, and real images that stay far below


def test_a_blank_image_is_read_by_who_asks_for_it() -> None:
    data = bytes(imagecodecs.jpegls_encode(np.zeros((512, 512), np.uint8)))
    pixel = described(b"", 512)
    strict = replace(LIMITS, blank_bytes=2**16, expansion=10)
    with pytest.raises(FrameDecodeError, match=r"limits=\{'blank_bytes': 262144\}"):
        decode_frame(data, pixel, transfer_syntax_uid=uids.JPEG_LS_LOSSLESS, where=WHERE, limits=strict)
    asked = replace(strict, blank_bytes=262144)
    found = decode_frame(data, pixel, transfer_syntax_uid=uids.JPEG_LS_LOSSLESS, where=WHERE, limits=asked)
    assert not found.any()


SEGMENTS: Final = 100_000
FULL_OF_SEGMENTS: Final[dict[str, bytes]] = {
    "comments before the scan": b"\xff\xd8" + b"\xff\xfe\0\2" * SEGMENTS + jpeg(64, 64)[2:],
    "comments between scans": jpeg(64, 64, scans=2, body=b"\0" * 8 + b"\xff\xfe\0\2" * SEGMENTS),
    "restart markers": jpeg(64, 64, marker=0xC0, body=b"\xff\xd0" * SEGMENTS).replace(
        b"\xff\xda", b"\xff\xdd\0\4\0\1\xff\xda", 1
    ),
    "comments in a JPEG 2000": jpeg2000(64, 64, main=USUAL + b"\xff\x64\0\2" * SEGMENTS),
    "comments in a tile-part": jpeg2000(64, 64, main=USUAL, part=b"\xff\x64\0\2" * SEGMENTS),
    "boxes of JP2": b"\0\0\0\x0cjP  \r\n\x87\n" + b"\0\0\0\x08free" * SEGMENTS + jpeg2000(64, 64, main=USUAL),
    "boxes of JPEG XL": b"\0\0\0\x0cJXL \r\n\x87\n" + b"\0\0\0\x08free" * SEGMENTS + jpegxl(64, 64),
}


@pytest.mark.parametrize("name", FULL_OF_SEGMENTS)
def test_no_more_segments_are_looked_at_than_a_codestream_can_have(name: str) -> None:
    with pytest.raises(FrameDecodeError, match=r"too many|restart markers it has"):
        decode_frame(FULL_OF_SEGMENTS[name], described(b"", 64), transfer_syntax_uid=uids.JPEG_BASELINE, where=WHERE)


def test_large_headers_are_not_remembered() -> None:
    held = _read_header.cache_info().currsize
    large = b"\xff\xd8" + (b"\xff\xfe\xff\xff" + bytes(65533)) * 20 + jpeg(64, 64)[2:]
    read_jpeg(large)
    assert _read_header.cache_info().currsize == held
    read_jpeg(jpeg(64, 72))
    assert _read_header.cache_info().currsize >= held


@pytest.mark.parametrize("rows", [65472, 65500, 65535])
def test_a_jpeg_as_tall_as_can_be_is_decoded_or_refused(rows: int) -> None:
    pixel = replace(described(b"", 64), rows=rows)
    data = jpeg(rows, 64, marker=0xC0, body=bytes(20_000))
    with suppress(FrameDecodeError):
        found = decode_frame(data, pixel, transfer_syntax_uid=uids.JPEG_BASELINE, where=WHERE)
        assert found.shape == (1, rows, 64)


def test_small_blocks_and_precincts_of_a_usual_frame_are_decoded() -> None:
    for cut in (Cut(0, (0, 0)), Cut(2, (1, 1)), Cut(5, precincts=b"\x77" * 6)):
        data = jpeg2000(512, 512, main=cut.coding_style(), body=bytes(2**15))
        found = decode_frame(data, described(b"", 512), transfer_syntax_uid=uids.JPEG_2000_LOSSLESS, where=WHERE)
        assert found.shape == (1, 512, 512)


@pytest.mark.parametrize("name", ["rle", "deflated", "native"])
def test_too_little_memory_is_an_error_of_the_frame(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def is_out_of_memory(*_: object, **__: object) -> None:
        raise MemoryError

    for decoder in ("decode_rle", "inflate_frame", "decode_native"):
        monkeypatch.setattr(decode_module, decoder, is_out_of_memory)
    uid = {"rle": uids.RLE_LOSSLESS, "deflated": uids.DEFLATED_IMAGE_FRAME}.get(name, uids.EXPLICIT_VR_LITTLE_ENDIAN)
    data = rle(1, (64,), bytes(4096)) if name == "rle" else bytes(4096)
    with pytest.raises(FrameDecodeError, match="not enough memory") as caught:
        decode_frame(data, described(b"", 64), transfer_syntax_uid=uid, where=WHERE)
    assert WHERE in str(caught.value)
    assert caught.value.__context__ is None


class Watched:
    """A budget that knows who has taken of it."""

    def __init__(self) -> None:
        self.asked: list[tuple[int, int]] = []
        self.held = 0

    @contextmanager
    def taken(self, nbytes: int, most: int) -> Iterator[None]:
        self.asked.append((nbytes, most))
        self.held += 1
        yield
        self.held -= 1


@pytest.mark.parametrize(("side", "is_alone"), [(512, False), (4096, True)])
def test_a_frame_is_decoded_while_it_has_its_share(
    side: int, *, is_alone: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What has few bytes for much memory has all of it."""
    budget, decode = Watched(), imagecodecs.jpeg2k_decode

    def decodes(*args: Any, **named: Any) -> Any:
        assert budget.held
        return decode(*args, **named)

    monkeypatch.setattr(compressed_module, "BUDGET", budget)
    monkeypatch.setattr(imagecodecs, "jpeg2k_decode", decodes)
    data = jpeg2000(side, side, main=USUAL, body=bytes(2**15))
    decode_frame(data, described(b"", side), transfer_syntax_uid=uids.JPEG_2000_LOSSLESS, where=WHERE)
    ((nbytes, most),) = budget.asked
    assert most == LIMITS.decoding_bytes
    assert nbytes == most if is_alone else 5 * side**2 <= nbytes < most
    assert not budget.held


def test_frames_wait_until_those_before_them_have_let_go_of_memory() -> None:
    budget = Budget()
    large = 64 * 2**20
    with budget.taken(large, large):
        with budget.taken(1000, large):  # a small one waits for nobody
            pass
        assert not budget.fits(large, large)
        assert budget.fits(large, 2 * large)
    assert budget.fits(10 * large, large)  # alone, however large
