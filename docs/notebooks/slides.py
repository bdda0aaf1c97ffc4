"""A slide for pathologists: the page as a notebook; ``python tools/notebooks.py`` runs it."""

# %% [markdown]
# # A slide from a DICOMweb server
#
# This notebook starts a DICOMweb server with a small slide in its own process. With a server of yours, leave the next
# cell out and put the URL of your slide into `url`. Pictures need `pip install "dicomzarr[color]"`.

# %%
from dicomzarr.faces.demo.show import demo_archive, demo_url

archive = demo_archive()
url = demo_url(archive.__enter__())

# %% [markdown]
# ## Five lines

# %%
from PIL import Image

import dicomzarr

slide = dicomzarr.open(url)
slide

# %%
[slide.mpp, slide.magnification, [round(level.downsample, 1) for level in slide.levels]]

# %%
region = slide.read_region((500, 700), (400, 300), mpp=0.75)  # (x, y) in pixels of level 0
Image.fromarray(region)

# %% [markdown]
# A region is read at any resolution. Between two levels each pixel is the mean of the area that it covers. What lies
# beyond the slide is white.
#
# ## Where the tissue is, and patches of it

# %%
import numpy as np

from dicomzarr.patches import grid, tissue_mask

mask = tissue_mask(slide)
overview = slide.thumbnail(400)
tissue = Image.fromarray(mask).resize(overview.shape[1::-1])
Image.fromarray(np.where(np.array(tissue)[..., None], overview, 255 - (255 - overview) // 4))

# %%
patches = grid(slide, 112, mpp=1.0, mask=mask, tissue=0.5)
patches

# %%
pixels = patches.read(range(min(12, len(patches))))  # all in one plan: each frame is fetched once
Image.fromarray(np.hstack(pixels[:6]))

# %% [markdown]
# `dicomzarr.patches.PatchDataset(patches)` gives them to PyTorch.
#
# ## Code that is written for OpenSlide
#
# Needs `pip install "dicomzarr[openslide]"`.

# %%
from dicomzarr.openslide import open_slide

openslide = open_slide(url)
[openslide.dimensions, openslide.level_count, openslide.properties["openslide.mpp-x"]]

# %%
openslide.read_region((500, 700), 1, (300, 200)).convert("RGB")

# %%
_ = archive.__exit__(None, None, None)
