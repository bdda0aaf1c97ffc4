"""JPEG XL that may be drawn of any number of layers: decoded in a process of its own, which is ended in time."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import imagecodecs
import numpy as np
import pytest
from coded_frames import BUILDERS, coded_frame
from crafted_jpegxl import Parts, layered, with_hidden
from serving import run_python
from waiting import SECONDS

from dicomzarr.codecs import apart, compressed
from dicomzarr.codecs.apart import APART, Apart
from dicomzarr.codecs.decode import decode_frame
from dicomzarr.dicom import uids
from dicomzarr.dicom.pixels.jpegxl_markers import read_jpegxl
from dicomzarr.dicom.pixels.pixels import PixelDescription
from dicomzarr.errors import FrameDecodeError
from dicomzarr.options import LIMITS

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

WHERE: Final = "study 1.2, series 1.3, instance 1.4, frame 5"
SIDE: Final = 64
RAMP: Final = np.add.outer(np.arange(SIDE), np.arange(SIDE)).astype(np.uint8)
BLANK: Final = np.zeros((512, 512), np.uint8)
SYNTAXES: Final = (uids.JPEG_XL_LOSSLESS, uids.JPEG_XL_JPEG_RECOMPRESSION, uids.JPEG_XL)


@pytest.fixture(autouse=True, scope="module")
def ended() -> Iterator[None]:
    yield
    APART.end()


def decoded(data: bytes, **limits: Any) -> npt.NDArray[Any]:
    rows, columns = read_jpegxl(data).rows, read_jpegxl(data).columns
    pixel = PixelDescription(rows, columns, 1, 8, 8, 7, signed=False, photometric_interpretation="MONOCHROME2")
    chosen = replace(LIMITS, **limits)
    return decode_frame(data, pixel, transfer_syntax_uid=uids.JPEG_XL_LOSSLESS, where=WHERE, limits=chosen)[0]


def test_layers_are_drawn_over_and_added_to_one_another() -> None:
    assert np.array_equal(decoded(layered(RAMP, 3)), RAMP)
    assert np.array_equal(decoded(layered(RAMP // 4, 3, adds=True)), RAMP // 4 * 4)
    assert np.array_equal(decoded(with_hidden(RAMP, BLANK, 1)), RAMP)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(layered(BLANK, 5000), id="over one another", marks=pytest.mark.slow),
        pytest.param(layered(BLANK, 5000, adds=True), id="added", marks=pytest.mark.slow),
        pytest.param(with_hidden(RAMP, BLANK, 5000), id="hidden"),
    ],
)
def test_layers_without_an_end_are_ended(data: bytes) -> None:
    with pytest.raises(FrameDecodeError, match=r"seconds of a core.*layer_seconds") as caught:
        decoded(data, layer_seconds=0.01)
    assert WHERE in str(caught.value)
    assert np.array_equal(decoded(layered(RAMP, 1)), RAMP)  # by another process


def test_a_hidden_frame_takes_no_more_memory_than_a_shown_one_may() -> None:
    with pytest.raises(FrameDecodeError):
        decoded(with_hidden(RAMP, BLANK, 1, size=60_000))
    with pytest.raises(FrameDecodeError):
        decoded(layered(np.zeros((1024, 1024), np.uint8), 2), blank_bytes=5 * 2**20)


@pytest.mark.slow
def test_the_system_counts_seconds_of_a_core(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy machine as on an idle one: no clock decides."""
    monkeypatch.setattr(apart, "_LATE", SECONDS)
    own = Apart()
    own.decode(layered(RAMP, 1), 2**30, 60)
    process = own._process
    with pytest.raises(ValueError, match="more than 1 seconds"):
        own.decode(layered(BLANK, 50_000), 2**30, 1)
    assert process is not None
    assert process.returncode == -signal.SIGXCPU


def test_one_plain_frame_is_decoded_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(APART, "decode", lambda *_, **__: pytest.fail("another process was asked"))
    found = [coded_frame(uid, name) for uid in SYNTAXES for name in BUILDERS[uid]]
    assert len(found) > 4
    for frame in found:
        decode_frame(frame.data, frame.pixel, transfer_syntax_uid=frame.uid, where=WHERE)


@pytest.mark.parametrize(
    "settings", [{"lossless": True}, {"level": 90}, {"level": 20}, {"lossless": True, "effort": 2}]
)
@pytest.mark.parametrize("shape", [(8, 8), (300, 517), (64, 48, 3), pytest.param((2049, 2050), marks=pytest.mark.slow)])
@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_what_encoders_make_is_one_plain_frame(shape: tuple[int, ...], settings: dict[str, Any], kind: Any) -> None:
    assert not read_jpegxl(imagecodecs.jpegxl_encode(np.full(shape, 7, kind), **settings)).open_ended


def test_all_others_are_open_ended() -> None:
    made = Parts.of(RAMP)
    assert not read_jpegxl(made.start + made.frame(is_last=True)).open_ended
    for data in (
        made.start + made.frame(is_last=False),
        made.start + made.frame(is_last=True, blend="10"),
        made.start + made.frame(is_last=True, flags="01" + "1000"),  # patches
        made.start,
        with_hidden(RAMP, BLANK, 1),
    ):
        assert read_jpegxl(data).open_ended


def test_a_jpeg_of_more_markers_than_real_ones_have_is_restored_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its box restores segments of 64 KiB out of next to nothing."""
    jpeg = imagecodecs.jpeg8_encode(BLANK)
    made = bytes(imagecodecs.jpegxl_encode_jpeg(jpeg))
    comment = b"\xff\xfe\xff\xff" + bytes(65533)
    longer = bytes(imagecodecs.jpegxl_encode_jpeg(jpeg[:2] + comment * 200 + jpeg[2:]))
    assert len(longer) < len(made) + 10_000
    assert [read_jpegxl(data).open_ended for data in (made, longer)] == [False, True]
    asked: list[bool] = []
    monkeypatch.setattr(APART, "decode", lambda *_, held_jpeg: asked.append(held_jpeg) or np.frombuffer(jpeg, np.uint8))
    assert np.array_equal(decoded(longer), decoded(made))
    assert asked == [True]


def test_what_has_few_bytes_for_much_memory_is_decoded_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compressed, "_LARGE_JPEG_XL", 2**16)
    asked: list[int] = []
    monkeypatch.setattr(APART, "decode", lambda data, *_, **__: asked.append(len(data)) or BLANK)
    assert np.array_equal(decoded(bytes(imagecodecs.jpegxl_encode(BLANK, lossless=True))), BLANK)
    assert len(asked) == 1


FORKED: Final = """
import json, os, sys
from dicomzarr.codecs.apart import APART

frame = bytes.fromhex(sys.argv[1])

def decoded():
    APART.decode(frame, 2**30, 60)
    return APART._process.pid

before = decoded()
reading, writing = os.pipe()
pid = os.fork()
if not pid:
    os.write(writing, str(decoded()).encode())
    APART.end()
    os._exit(0)
os.waitpid(pid, 0)
print(json.dumps([before, int(os.read(reading, 99)), decoded()]))
"""


def test_a_forked_child_has_a_process_of_its_own_and_each_ends_with_who_needed_it() -> None:
    before, of_child, after = run_python(FORKED, layered(RAMP, 1).hex())
    assert before == after != of_child
    for pid in (before, of_child):
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_a_process_that_has_just_ended_as_nobody_needed_it_is_started_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    own, pipe = Apart(), subprocess.PIPE
    own._process = subprocess.Popen([sys.executable, "-c", ""], bufsize=0, stdin=pipe, stdout=pipe)
    monkeypatch.setattr(own._process, "poll", lambda: None)
    assert own.decode(layered(RAMP, 1), 2**30, 60).shape == RAMP.shape
    own.end()


def test_where_no_process_can_be_started_the_error_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    APART.end()  # which another test may have started
    monkeypatch.setattr("sys.executable", "/opt/napari/napari")
    with pytest.raises(FrameDecodeError, match="no Python that could be started"):
        decoded(layered(RAMP, 1))
    assert np.array_equal(decoded(layered(RAMP, 1), layer_seconds=1e9), RAMP)
