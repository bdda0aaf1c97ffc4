"""Whole instances, Part-10 files, changed: the frames that are cut out of them, or an error."""

from __future__ import annotations

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
        return Case(data if random.random() < 0.1 else mutate_bytes(random, data, (*self.files, *_PIECES)))

    def run(self, case: Case) -> str:
        """Cut frames out of it, as of an instance by itself and as of one among those of a series."""
        only = only_frame(Part({}, case.data))
        held = open_instance(memoryview(case.data), _KEY)
        count = len(held.frames)
        cut = [held.frames.cut(number) for number in range(1, min(count, _MOST_CUT) + 1)]
        assert only is None or (only.instance, [only.frame.data]) == (_KEY.instance, cut)
        return f"{count if count < _MOST_CUT else 'many'} frames"


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
