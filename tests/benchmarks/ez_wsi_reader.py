"""ez-wsi-dicomweb reads regions: run by the interpreter that has it, ``python ez_wsi_reader.py JSON FILE``.

The JSON names the ``url`` of the series over HTTP, and ``tasks``: lists of regions as (y, x, rows, columns) of the
finest level. It prints what each task took, and writes the pixels to the file. The slide is opened once, with an empty
frame cache; opening is not timed.
"""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
from alone import told
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
    """Do what the command line asks for."""
    question = json.loads(sys.argv[1])
    slide = opened(question["url"])
    takes = [
        timed(lambda task=task: read(slide, task), sum(rows * columns for _, _, rows, columns in task))  # type: ignore[misc]  # its default
        for task in question["tasks"]
    ]
    np.savez(sys.argv[2], *(each for take in takes for each in take.pixels))
    print(json.dumps([told(take) for take in takes]))  # noqa: T201  # the parent reads it


if __name__ == "__main__":
    main()
