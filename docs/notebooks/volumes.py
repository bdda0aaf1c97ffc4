"""A CT for radiology: the page as a notebook; ``python tools/notebooks.py`` runs it."""

# %% [markdown]
# # A CT from a DICOMweb server
#
# This notebook starts a DICOMweb server with a CT and its segmentation in its own process. With a server of yours,
# leave the next cell out and put its URL into `base`. It needs `pip install "dicomzarr[radiology,color]"`.

# %%
from dicomzarr.faces.demo.show import demo_archive

archive = demo_archive()
base = archive.__enter__().url

# %% [markdown]
# ## Five lines

# %%
import dicomzarr

ct = dicomzarr.search(base, modality="CT")[0].open(values="modality")
ct

# %%
print(ct)

# %%
volume = ct.to_sitk()  # Hounsfield units, in LPS millimetres
[volume.GetSize(), volume.GetSpacing(), volume.GetPixelIDTypeAsString()]

# %%
segments = ct.label_map(overlap="first")
segments.names

# %% [markdown]
# ## Slices with their segments
#
# Only the frames that a slice needs are fetched.

# %%
import numpy as np
from PIL import Image

COLORS = np.array([(0, 0, 0), (90, 160, 240), (120, 220, 140), (240, 110, 90)])


def picture(hounsfield, numbers, heights=1.0):
    """A window of soft tissue, 40 +- 300 HU, with the segments on it; rows are as high as they are apart."""
    grey = np.clip((hounsfield + 260) / 600, 0, 1)[..., None] * 255
    shown = np.where(numbers[..., None] > 0, 0.65 * grey + 0.35 * COLORS[numbers], grey).astype(np.uint8)
    return Image.fromarray(shown).resize((shown.shape[1], round(shown.shape[0] * heights)))


picture(ct[28], segments.values[28])

# %%
z, y, _ = ct.levels[0].scale
picture(ct[::-1, 120], segments.values[::-1, 120], z / y)  # from the front, the head above

# %% [markdown]
# ## How large the segments are, and how dense

# %%
voxel = np.prod(ct.levels[0].scale) / 1000  # millilitres
hounsfield = ct[...]
for number, name in segments.names.items():
    of_it = hounsfield[segments.values == number]
    print(f"{name}: {of_it.size * voxel:.0f} ml, {of_it.mean():.0f} HU on average")

# %% [markdown]
# ## As files of NIfTI, and nibabel's image

# %%
import tempfile
from pathlib import Path

folder = Path(tempfile.mkdtemp())
ct.to_nifti(folder / "ct.nii.gz")
segments.to_nifti(folder / "segments.nii.gz")
sorted(path.name for path in folder.iterdir())

# %%
nifti = ct.to_nibabel()
[nifti.shape, nifti.get_data_dtype(), nifti.affine.round(2).tolist()]

# %%
_ = archive.__exit__(None, None, None)
