"""Files that are DICOM and TIFF at once, as converters of slides write them: no offset table, but a TIFF directory."""

from __future__ import annotations

import struct
from io import BytesIO
from typing import TYPE_CHECKING

from pydicom import dcmwrite
from pydicom.encaps import encapsulate, generate_frames

if TYPE_CHECKING:
    from pydicom import Dataset


def part10_bytes(dataset: Dataset) -> bytes:
    """The file of a dataset."""
    buffer = BytesIO()
    dcmwrite(buffer, dataset, enforce_file_format=True)
    return buffer.getvalue()


def frames_in(dataset: Dataset) -> list[bytes]:
    """The encoded frames of a dataset."""
    return list(generate_frames(dataset.PixelData, number_of_frames=int(dataset.get("NumberOfFrames", 1))))


def without_table(dataset: Dataset, fragments: int = 1) -> bytes:
    """The file with no offset table, each frame in so many fragments."""
    frames = frames_in(dataset)
    for keyword in ("ExtendedOffsetTable", "ExtendedOffsetTableLengths"):
        if keyword in dataset:
            del dataset[keyword]
    dataset.PixelData = encapsulate(frames, fragments_per_frame=fragments, has_bot=False)
    return part10_bytes(dataset)


def dual_personality(dataset: Dataset, *, big: bool = True, shift: int = 0, profile: int = 5000) -> bytes:
    """The file with no offset table but a TIFF directory behind its pixels.

    Args:
        dataset: An instance with encapsulated frames, one fragment each.
        big: The directory is that of a BigTIFF.
        shift: What its offsets are wrong by, as after the header has been edited.
        profile: Bytes of a colour profile that lies between directory and values.
    """
    body = bytearray(without_table(dataset))
    frames = frames_in(dataset)
    offsets, lengths = [], []
    at = body.index(b"\xe0\x7f\x10\x00OB\0\0\xff\xff\xff\xff") + 12 + 8  # behind the empty Basic Offset Table
    for frame in frames:
        (length,) = struct.unpack_from("<I", body, at + 4)
        offsets.append(at + 8 + shift)
        lengths.append(length - frame.endswith(b"\0"))  # the byte that makes it even is not counted
        at += 8 + length
    start = len(body) + 12  # behind the header of the padding
    directory = _directory(start, offsets, lengths, big=big, profile=profile)
    body += struct.pack("<HH2sHI", 0xFFFC, 0xFFFC, b"OB", 0, len(directory)) + directory
    body[:16] = struct.pack("<2sHHHQ", b"II", 43, 8, 0, start) if big else struct.pack("<2sHI8x", b"II", 42, start)
    return bytes(body)


def _directory(start: int, offsets: list[int], lengths: list[int], *, big: bool, profile: int) -> bytes:
    kind, code = (16, "Q") if big else (4, "I")
    count, entry, link = ("<Q", "<HHQ", "<Q") if big else ("<H", "<HHI", "<I")
    value = 8 if big else 4
    values = [struct.pack(f"<{len(each)}{code}", *each) for each in (offsets, lengths)]
    tags = [(256, 256), (257, 256), (324, values[0]), (325, values[1])]
    size = struct.calcsize(count) + len(tags) * (struct.calcsize(entry) + value) + value
    place = start + size + profile
    out, tail = struct.pack(count, len(tags)), bytes(profile)
    for tag, content in tags:
        if isinstance(content, int):
            out += struct.pack(entry, tag, 3, 1) + struct.pack("<H", content).ljust(value, b"\0")
            continue
        out += struct.pack(entry, tag, kind, len(offsets))
        if len(content) <= value:
            out += content.ljust(value, b"\0")
        else:
            out += struct.pack(link, place + len(tail) - profile)
            tail += content
    data = out + struct.pack(link, 0) + tail
    return data + b"\0" * (len(data) % 2)
