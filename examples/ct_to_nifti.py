"""A CT in Hounsfield units to SimpleITK and NIfTI, with its segments; by default that of the archive of the demo.

Needs ``pip install "dicomzarr[radiology]"``.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from series import command_line, series

import dicomzarr
from dicomzarr.demo.show import demo_archive

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def volume_at(given: str | None) -> Iterator[dicomzarr.Image]:
    """The volume that is given, or the CT of the demo."""
    if given is not None:
        with series(given, values="modality") as image:
            yield image
        return
    with demo_archive() as server:
        (ct,) = dicomzarr.search(server.url, modality="CT")
        yield ct.open(values="modality")


def main() -> None:
    """Write the volume, and its segments where the study has some on its grid."""
    with volume_at(command_line(__doc__).parse_args().url) as image:
        volume = image.to_sitk()
        image.to_nifti("ct.nii.gz", overwrite=True)
        print(volume.GetSize(), volume.GetPixelIDTypeAsString(), "to ct.nii.gz")
        try:
            segments = image.label_map(overlap="first")
        except dicomzarr.errors.UsageError as error:
            print("No segments:", error)
        else:
            segments.to_nifti("segments.nii.gz", overwrite=True)
            print(sorted(segments.names.values()), "to segments.nii.gz")


if __name__ == "__main__":
    main()
