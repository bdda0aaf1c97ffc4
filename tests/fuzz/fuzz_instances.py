"""Whole instances, Part-10 files, changed: the frames that are cut out of them, or an error."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any, Final

import coded_frames
from cases import Case
from frame_oracles import dataset_of, part10
from mutations import mutate_bytes
from pydicom import Dataset, Sequence

from dicomzarr.sources.dicomweb.messages.multipart import Part
from dicomzarr.sources.dicomweb.negotiation.instance_key import InstanceKey
from dicomzarr.sources.dicomweb.whole.whole_instance import open_instance
from dicomzarr.sources.dicomweb.whole.whole_series import only_frame

if TYPE_CHECKING:
    from random import Random

_KEY: Final = InstanceKey("1.2", "1.2.3", "1.2.3.4")
_MOST_CUT: Final = 5
_PIECES: Final = (
    *(b"DICM", b"\xfe\xff\x00\xe0", b"\xfe\xff\x0d\xe0\0\0\0\0", b"\xfe\xff\xdd\xe0\0\0\0\0", b"\xff\xff\xff\xff"),
    *(b"\xe0\x7f\x10\0OB\0\0", b"\xe0\x7f\x10\0OW\0\0", b"\x28\0\x08\0IS\x02\0", b"SQ\0\0\xff\xff\xff\xff", b"UN\0\0"),
)
"""What files are made of."""


class Instances:
    """A corpus of files: all transfer syntaxes, one frame and more, with sequences."""

    def __init__(self) -> None:
        builders = coded_frames.BUILDERS
        frames = [coded_frames.coded_frame(uid, next(iter(names))) for uid, names in builders.items()]
        self.files = [_file(frame, count) for frame in frames for count in (1, 3)]

    def make(self, random: Random) -> Case:
        """A file with changes."""
        data = random.choice(self.files)
        if random.random() < 0.4:
            return Case(_with_pieces(random, data))
        return Case(data if random.random() < 0.1 else mutate_bytes(random, data, (*self.files, *_PIECES)))

    def run(self, case: Case) -> str:
        """Cut frames out of it, as of an instance by itself and as of one among those of a series."""
        only = only_frame(Part({}, case.data))
        held = open_instance(memoryview(case.data), _KEY)
        count = len(held.frames)
        cut = [held.frames.cut(number) for number in range(1, min(count, _MOST_CUT) + 1)]
        assert only is None or (only.instance, [only.frame.data]) == (_KEY.instance, cut)
        return f"{count if count < _MOST_CUT else 'many'} frames"


def _with_pieces(random: Random, data: bytes) -> bytes:
    """A file whose pixel data are cut into fragments at random, under offset tables that may or may not fit."""
    start = data.rfind(b"\xe0\x7f\x10\0O")
    if start < 0 or data[start + 8 : start + 12] != b"\xff\xff\xff\xff":
        return data[: random.randrange(len(data) + 1)]
    fragments = [random.randbytes(random.choice((0, 1, 2, 7, 40))) for _ in range(random.choice((0, 1, 3, 3, 8)))]
    starts = [sum(8 + len(each) for each in fragments[:number]) for number in range(len(fragments))]
    offsets = random.choice(([], starts, starts[:3], starts[::-1], [2**32 - 1] * 3, [0, 0, 0], [1, 2, 3], starts * 2))
    table = struct.pack(f"<{len(offsets)}I", *offsets)
    extended = b""
    if random.random() < 0.4:
        lengths = [len(each) + random.choice((0, 0, 0, 1, 2**40)) for each in fragments][: random.choice((1, 3, 9))]
        for element, values in ((1, random.choice((starts, starts[:3], [2**63]))), (2, lengths)):
            packed = struct.pack(f"<{len(values)}Q", *values)
            extended += struct.pack("<HH2sHI", 0x7FE0, element, b"OV", 0, len(packed)) + packed
    item = random.choice((b"\xfe\xff\x00\xe0",) * 9 + (b"\xfe\xff\x0d\xe0",))
    body = b"".join(
        item + struct.pack("<I", len(each) + random.choice((*[0] * 20, 1, 2**31))) + each
        for each in (table, *fragments)
    )
    end = random.choice((b"\xfe\xff\xdd\xe0\0\0\0\0",) * 9 + (b"", b"\xfe\xff\xdd\xe0\4\0\0\0"))
    more = random.choice((b"",) * 5 + (data[start:], b"\xfc\xff\xfc\xffOB\0\0\4\0\0\0abcd"))
    return data[:start] + extended + data[start : start + 12] + body + end + more


def _file(frame: coded_frames.CodedFrame, count: int) -> bytes:
    dataset = dataset_of(frame.pixel, frame.uid, [frame.data] * count, SOPInstanceUID=_KEY.instance)
    item = Dataset()
    item.CodeMeaning = "within a sequence"
    dataset.ProcedureCodeSequence = Sequence([item, Dataset()])
    dataset.ProcedureCodeSequence.is_undefined_length = count > 1
    block: Any = dataset.private_block(0x0029, "DICOMZARR", create=True)
    block.add_new(1, "UN", b"private")
    return part10(dataset)


TARGETS = {"instances": Instances}
