"""Frames of every transfer syntax, changed, through the decoder."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any, Final

import coded_frames
from cases import Case
from mutations import mutate_bytes

from dicomzarr.codecs.decode import decode_frame
from dicomzarr.codecs.scratch import Scratch
from dicomzarr.dicom.pixels.pixels import PixelDescription

if TYPE_CHECKING:
    from random import Random

_PHOTOMETRIC: Final = ("MONOCHROME1", "MONOCHROME2", "RGB", "YBR_FULL", "YBR_FULL_422", "YBR_RCT", "PALETTE COLOR", "")
_MEDIA_TYPES: Final = ("", "image/jpeg", "image/jls", "image/jp2", "application/octet-stream", "image/dicom-rle")


class Frames:
    """A corpus of encoded frames."""

    def __init__(self) -> None:
        builders = coded_frames.BUILDERS
        self.frames = [coded_frames.coded_frame(uid, name) for uid, names in builders.items() for name in names]
        self.bytes = [frame.data for frame in self.frames]
        self.scratch = Scratch()

    def make(self, random: Random) -> Case:
        """A frame with changes to its bytes, to what the metadata say, or to its label."""
        frame = random.choice(random.choice(_by_syntax(self.frames)))
        data = frame.data if random.random() < 0.1 else mutate_bytes(random, frame.data, self.bytes)
        pixel = frame.pixel if random.random() < 0.7 else _changed(random, frame.pixel)
        label = random.choice(self.frames).uid if random.random() < 0.1 else frame.uid
        settings: dict[str, Any] = {
            "pixel": asdict(pixel),
            "transfer_syntax_uid": None if random.random() < 0.1 else label,
            "media_type": random.choice(_MEDIA_TYPES),
            "scratch": random.random() < 0.5,
        }
        return Case(data, settings)

    def run(self, case: Case) -> str:
        """Decode it: exactly as the metadata say, or not at all."""
        settings = dict(case.settings)
        pixel = PixelDescription(**settings.pop("pixel"))
        scratch = self.scratch if settings.pop("scratch") else None
        found = decode_frame(case.data, pixel, where="frame 1", scratch=scratch, **settings)
        assert (found.shape, found.dtype) == (pixel.shape, pixel.dtype), f"{found.dtype} of shape {found.shape}"
        assert len(found.tobytes()) == pixel.nbytes  # which reads every value
        return "decoded"


def _by_syntax(frames: list[coded_frames.CodedFrame]) -> list[list[coded_frames.CodedFrame]]:
    """Codecs are tried alike, however many frames there are of each."""
    found: dict[str, list[coded_frames.CodedFrame]] = {}
    for frame in frames:
        found.setdefault(frame.uid, []).append(frame)
    return list(found.values())


def _changed(random: Random, pixel: PixelDescription) -> PixelDescription:
    """What the metadata of another image would say, as a broken series does."""
    sizes = (1, 2, 7, 40, 48, 255, 4096, 65535, pixel.rows + 1, pixel.columns * 2)
    bits = random.choice((1, 8, 16, 32, 64))
    changes: tuple[dict[str, Any], ...] = (
        {"rows": random.choice(sizes)},
        {"columns": random.choice(sizes)},
        {"rows": 65535, "columns": 65535},
        {"samples": random.choice((1, 3)), "photometric_interpretation": random.choice(_PHOTOMETRIC)},
        {"photometric_interpretation": random.choice(_PHOTOMETRIC), "planar_configuration": random.choice((0, 1, 7))},
        {"bits_allocated": bits, "bits_stored": random.randrange(1, bits + 1), "high_bit": random.randrange(-1, 70)},
        {"signed": not pixel.signed},
        {"floating": not pixel.floating},
        {"lossy": not pixel.lossy},
    )
    return replace(pixel, **random.choice(changes))


TARGETS = {"frames": Frames}
