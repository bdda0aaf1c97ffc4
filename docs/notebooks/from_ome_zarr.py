"""From OME-Zarr: the page as a notebook; ``python tools/notebooks.py`` runs it."""

# %% [markdown]
# # A DICOM series is an OME-Zarr
#
# This notebook starts a DICOMweb server with a small slide in its own process. With a server of yours, put its URL into
# `base`.

# %%
from dicomzarr.faces.demo.show import demo_archive, demo_url

archive = demo_archive()
server = archive.__enter__()
base = server.url.replace("http://", "dicomweb://")

# %% [markdown]
# ## Find the URL

# %%
import dicomzarr

for found in dicomzarr.search(base):
    print(found.modality, found.url.rpartition("/studies/")[2][:12], "...")

# %% [markdown]
# ## zarr, dask and xarray take it as it is

# %%
import dask.array as da
import xarray as xr
import zarr

url = demo_url(server)
group = zarr.open_group(url, mode="r")
group["0"][:, 512:768, 512:768].mean()

# %%
da.from_zarr(url, component="0")

# %%
field = xr.open_dataset(url, engine="dicomzarr", group="1")["image"].sel(y=slice(200, 300), x=slice(300, 400))
dict(field.sizes)

# %% [markdown]
# ## What the series is

# %%
dicomzarr.open(url)

# %% [markdown]
# A level is an array that is not there yet. Methods and operators read; attributes read nothing.

# %%
level = dicomzarr.open(url).levels[2]
level

# %%
[level.mean(), level.max(), (level < 128).mean()]

# %% [markdown]
# ## Keep a crop

# %%
import tempfile
from pathlib import Path

crop = Path(tempfile.mkdtemp()) / "crop.zarr"
dicomzarr.export(url, crop, region={"y": (400, 912), "x": (300, 812)}, images=["/"])
zarr.open_group(crop, mode="r")["0"].shape

# %%
_ = archive.__exit__(None, None, None)
