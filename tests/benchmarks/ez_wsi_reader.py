"""ez-wsi-dicomweb reads regions: run by the interpreter that has it, with one question in JSON a line.

A question names the ``url`` of the series over HTTP, the ``regions`` as (y, x, rows, columns) of the finest level, and
the ``file`` where the pixels go; the answer has ``seconds``, ``cpu`` and ``peak`` of reading them. The slide is opened
anew, with an empty frame cache, each time; opening is not timed.
"""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
from ez_wsi_dicomweb import credential_factory, dicom_slide, dicom_web_interface
from ez_wsi_dicomweb.ml_toolkit import dicom_path
from measuring import timed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from measuring import Pixels


def opened(url: str) -> Any:
    """The slide."""
    server = dicom_web_interface.DicomWebInterface(credential_factory.NoAuthCredentialsFactory())
    slide = dicom_slide.DicomSlide(server, dicom_path.FromString(url))
    slide.init_slide_frame_cache()
    return slide


def read(slide: Any, regions: Sequence[tuple[int, int, int, int]]) -> list[Pixels]:
    """As its users read patches: preload, then take."""
    level = slide.native_level
    patches = [slide.get_patch(level, x=x, y=y, width=columns, height=rows) for y, x, rows, columns in regions]
    slide.preload_patches_in_frame_cache(patches, blocking=True)
    return [patch.image_bytes() for patch in patches]


def main() -> None:
    """Answer questions until standard input closes."""
    for line in sys.stdin:
        question = json.loads(line)
        slide = opened(question["url"])
        took = timed(lambda slide=slide, regions=question["regions"]: read(slide, regions))  # type: ignore[misc]  # its defaults
        np.savez(question["file"], *took.pixels)
        print(json.dumps({"seconds": took.seconds, "cpu": took.cpu, "peak": took.peak}), flush=True)  # noqa: T201  # the parent reads it


if __name__ == "__main__":
    main()
