"""TorchIO reads a CT and its values: against the arrays, and against what TorchIO reads of NIfTI."""

from __future__ import annotations

import tempfile
from functools import partial
from pathlib import Path

import numpy as np
import torchio as tio
from demo_series import demo_series

import dicomzarr
import dicomzarr.torchio


def check(url: str) -> None:
    """Pixels and affine, and a transform."""
    image = dicomzarr.open(url)
    subject = tio.Subject(ct=tio.ScalarImage(url, reader=dicomzarr.torchio.read, verify_path=False))
    subject.load()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "ct.nii"
        image.to_nifti(path)
        theirs = tio.ScalarImage(path)
        theirs.load()
    assert np.array_equal(subject.ct.numpy(), theirs.numpy())
    assert np.allclose(subject.ct.affine, theirs.affine, atol=1e-4)
    assert subject.ct.orientation == theirs.orientation
    assert tio.Compose([tio.ToCanonical(), tio.Resample(5)])(subject).ct.spacing == (5, 5, 5)


def check_crops(url: str) -> None:
    """What is read at once can be cropped, and so be sampled."""
    at_once = dicomzarr.torchio.scalar_image(url)
    assert np.array_equal(
        at_once.numpy(), tio.ScalarImage(url, reader=dicomzarr.torchio.read, verify_path=False).numpy()
    )
    made = tio.Compose([tio.ToCanonical(), tio.Resample(5), tio.CropOrPad(64)])(tio.Subject(ct=at_once))
    assert made.ct.shape == (1, 64, 64, 64)
    patch = next(tio.UniformSampler(16)(made))
    assert patch.ct.shape == (1, 16, 16, 16)


def check_one_time(url: str) -> None:
    """One of several volumes, and all of them."""
    read = partial(dicomzarr.torchio.read, time=2)
    one = tio.ScalarImage(url, reader=read, verify_path=False)
    whole = tio.ScalarImage(url, reader=dicomzarr.torchio.read, verify_path=False)
    assert np.array_equal(one.numpy()[0], whole.numpy()[2])


if __name__ == "__main__":
    with demo_series() as demo:
        check(demo.ct)
        check_crops(demo.ct)
        check_one_time(demo.perfusion)
