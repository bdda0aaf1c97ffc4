"""A CT in Hounsfield units to SimpleITK and NIfTI, with its segments: of the archive that comes with dicomzarr.

Needs ``pip install "dicomzarr[radiology]"``.
"""

from __future__ import annotations

import dicomzarr
from dicomzarr.demo.show import demo_archive

with demo_archive() as server:
    (ct,) = dicomzarr.search(server.url, modality="CT")
    image = ct.open()
    volume = image.to_sitk()
    image.to_nifti("ct.nii.gz", overwrite=True)
    segments = image.label_map(overlap="first")
    segments.to_nifti("segments.nii.gz", overwrite=True)
print(volume.GetSize(), volume.GetPixelIDTypeAsString(), sorted(segments.names.values()))
