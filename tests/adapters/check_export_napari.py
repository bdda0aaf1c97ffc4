"""napari-ome-zarr opens what was exported: the same pixels, scales and labels as the virtual store."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from napari_ome_zarr import napari_get_reader

import dicomzarr
from dicomzarr.demo.archive import Archive
from dicomzarr.demo.server import DICOMwebServer
from dicomzarr.demo.slide import SERIES, STUDY, demo_files
from dicomzarr.faces.demo.phantoms import phantoms


def layers_of(path: Path) -> list[Any]:
    """What napari would show."""
    reader = napari_get_reader(str(path))
    assert reader is not None
    return list(reader(str(path)))


def check(url: str, out: Path, **options: Any) -> list[Any]:
    """Export a series, and compare the image."""
    labels = options.pop("labels", False)
    ours = dicomzarr.open(url, labels=labels)
    dicomzarr.export(url, out, images=[""] if not labels else None, labels=labels, **options)
    layers = layers_of(out)
    data, facts, kind = layers[0]
    assert kind == "image"
    for level, theirs in zip(ours.levels, data, strict=True):
        assert np.array_equal(np.asarray(theirs).reshape(level.shape), level[...])
    space = [size for axis, size in zip(ours.levels[0].axes, ours.levels[0].scale, strict=True) if axis != "c"]
    assert np.allclose(np.asarray(facts["scale"])[-len(space) :], space)
    return layers


def main() -> None:
    """Check a slide in both formats, and a volume with its segments."""
    kept = [dataset for dataset in phantoms() if dataset.Modality in {"CT", "SEG"}]
    with tempfile.TemporaryDirectory() as name, DICOMwebServer(Archive([*demo_files(), *kept])) as server:
        folder, slide = Path(name), server.series_url(STUDY, SERIES)
        check(slide, folder / "slide5.zarr")
        check(slide, folder / "slide4.zarr", zarr_format=2)
        (ct, *_) = [dataset for dataset in kept if dataset.Modality == "CT"]
        url = server.series_url(ct.StudyInstanceUID, ct.SeriesInstanceUID)
        _, *labels = check(url, folder / "ct.zarr", labels=True)
        ours = dicomzarr.open(url, labels=True).labels
        assert len(labels) == len(ours) == 3
        expected = {int(label.levels[0][...].max()): label.levels[0][...] for label in ours.values()}
        for data, _, kind in labels:
            assert kind == "labels"
            pixels = np.asarray(data[0])
            assert np.array_equal(pixels, expected[int(pixels.max())])


if __name__ == "__main__":
    main()
