"""MONAI reads a CT and a slide: pixels and places against the arrays, and what MONAI's own reader makes of NIfTI."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import torch
from demo_series import demo_series
from monai.data import DataLoader, Dataset, NibabelReader
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
from dicomzarr.monai import VolumeReader


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


if __name__ == "__main__":
    with demo_series() as demo:
        check_ct(demo.ct)
        check_times(demo.perfusion)
        check_workers(demo.ct)
