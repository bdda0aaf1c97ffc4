"""MONAI reads a CT and a slide: pixels and places against the arrays, and what MONAI's own reader makes of NIfTI."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import torch
from demo_series import demo_series
from monai.data import DataLoader, Dataset, NibabelReader, PatchWSIDataset, SlidingPatchWSIDataset
from monai.transforms import (
    Compose,
    EnsureChannelFirst,
    LoadImage,
    LoadImaged,
    Orientation,
    ScaleIntensityRange,
    Spacing,
)

import dicomzarr
from dicomzarr.monai import VolumeReader, WSIReader


def check_ct(url: str) -> None:
    """A volume, by each way of MONAI to name a reader."""
    image = dicomzarr.open(url, values="modality")
    expected = image.to_numpy().transpose(2, 1, 0)
    for load in (
        LoadImage(reader=VolumeReader()),
        LoadImage(reader=VolumeReader, expanduser=False),
        LoadImage(reader="dicomzarr.monai.VolumeReader"),
        LoadImage(VolumeReader(), image_only=True, ensure_channel_first=True),
    ):
        loaded = load(url)
        assert np.array_equal(np.asarray(loaded).reshape(expected.shape), expected)
        assert np.allclose(loaded.affine, image.affine_ras)
        assert loaded.meta["space"] == "RAS"
    registered = LoadImage()
    registered.register(VolumeReader())
    assert torch.equal(registered(url), LoadImage(VolumeReader(), expanduser=False)(image))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "ct.nii"
        image.to_nifti(path)
        theirs = LoadImage(NibabelReader())(str(path))
    assert torch.equal(loaded[0], theirs)
    assert torch.allclose(loaded.affine, theirs.affine, atol=1e-4)
    transform = Compose(
        [
            LoadImage(reader=VolumeReader()),
            EnsureChannelFirst(),
            Orientation(axcodes="RAS", labels=None),
            Spacing(pixdim=(4, 4, 5)),
            ScaleIntensityRange(-1000, 1000, 0, 1, clip=True),
        ]
    )
    done = transform(url)
    assert done.shape[0] == 1
    assert 0 <= float(done.min()) < float(done.max()) <= 1


def check_workers(url: str) -> None:
    """A DataLoader with two processes, forked and spawned."""
    data = Dataset([{"image": url}] * 3, LoadImaged(keys="image", reader=VolumeReader()))
    for context in ("fork", "spawn"):
        loader = DataLoader(data, batch_size=1, num_workers=2, multiprocessing_context=context)
        found = [batch["image"] for batch in loader]
        assert len(found) == len(data)
        assert all(torch.equal(each, found[0]) for each in found)


def check_times(url: str) -> None:
    """Several volumes of one place: their number is the last axis, or one is chosen."""
    image = dicomzarr.open(url)
    loaded = LoadImage(VolumeReader(), ensure_channel_first=True)(url)
    assert loaded.shape == (image.shape[0], *image.shape[:0:-1])
    one = LoadImage(VolumeReader(time=3))(url)
    assert torch.equal(loaded[3], one)


def check_slide(url: str) -> None:
    """Patches by level, mpp and at the edge, one by one and by MONAI's data sets."""
    image = dicomzarr.open(url)
    reader = WSIReader(level=1)
    wsi = reader.read(url)
    patch, meta = reader.get_data(wsi, location=(600, 400), size=(64, 48))
    assert np.array_equal(patch, image.levels[1][:, 300:364, 200:248])
    assert tuple(meta["spatial_shape"]) == (64, 48)
    by_mpp, _ = WSIReader(mpp=reader.get_mpp(wsi, 2)).get_data(wsi, location=(0, 0), size=(32, 32))
    assert np.array_equal(by_mpp, image.levels[2][:, :32, :32])
    edge, _ = reader.get_data(wsi, location=(1568, 1368), size=(64, 48), level=0)
    assert np.array_equal(edge[:, :32, :32], image[:, -32:, -32:])
    assert (edge[:, 32:] == 255).all()
    whole, _ = reader.get_data(wsi, level=3)
    assert np.array_equal(whole, image.levels[3].to_numpy())
    rows = [{"image": url, "location": [y, 100], "level": 0, "label": [1]} for y in (0, 512, 1024)]
    patches = PatchWSIDataset(rows, patch_size=32, center_location=False, reader=WSIReader)
    for row, found in zip(rows, DataLoader(patches, batch_size=1, num_workers=2), strict=True):
        y, x = row["location"]
        assert np.array_equal(np.asarray(found["image"])[0], image[:, y : y + 32, x : x + 32])
    grid = SlidingPatchWSIDataset([{"image": url}], patch_size=128, patch_level=3, reader=WSIReader)
    assert np.array_equal(np.asarray(grid[0]["image"]), image.levels[3][:, :128, :128])
    loaded = LoadImage(WSIReader(level=3))(url)
    assert np.array_equal(np.asarray(loaded), image.levels[3].to_numpy())


if __name__ == "__main__":
    with demo_series() as demo:
        check_ct(demo.ct)
        check_times(demo.perfusion)
        check_workers(demo.ct)
        check_slide(demo.slide)
