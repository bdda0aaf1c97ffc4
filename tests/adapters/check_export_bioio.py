"""BioIO opens what was exported, OME-Zarr and OME-TIFF: the same pixels, sizes and channels as the virtual store."""

from __future__ import annotations

import tempfile
from pathlib import Path

import bioio_ome_tiff
import bioio_ome_zarr
import numpy as np
from bioio import BioImage

import dicomzarr
from dicomzarr.demo.archive import Archive
from dicomzarr.demo.server import DICOMwebServer
from dicomzarr.demo.slide import SERIES, STUDY, demo_files
from dicomzarr.faces.demo.phantoms import phantoms


def check_slide(url: str, folder: Path) -> None:
    """All levels of a slide, in both formats of OME-Zarr and as OME-TIFF."""
    ours = dicomzarr.open(url)
    for number, options in enumerate(({}, {"shard": 2}, {"zarr_format": 2})):
        out = folder / f"slide{number}.zarr"
        dicomzarr.export(url, out, images=[""], **options)
        theirs = BioImage(out, reader=bioio_ome_zarr.Reader)
        assert theirs.resolution_levels == tuple(range(len(ours.levels)))
        for level in ours.levels:
            theirs.set_resolution_level(level.number)
            assert np.array_equal(theirs.get_image_data("CYX"), level[...])
        theirs.set_resolution_level(0)
        sizes = theirs.physical_pixel_sizes
        assert np.allclose((sizes.Y, sizes.X), ours.levels[0].scale[-2:])
        assert list(theirs.channel_names) == [channel.label for channel in ours.channels]
    out = folder / "slide.ome.tif"
    dicomzarr.export(url, out, images=[""])
    theirs = BioImage(out, reader=bioio_ome_tiff.Reader)
    has_samples = "S" in theirs.dims.order
    found = np.moveaxis(theirs.get_image_data("YXS"), -1, 0) if has_samples else theirs.get_image_data("CYX")
    pixels = ours.levels[0][...]
    assert found.shape == pixels.shape
    assert np.abs(found.astype(int) - pixels).max() <= 2  # JPEG tiles are copied; decoders differ
    assert np.allclose((theirs.physical_pixel_sizes.Y, theirs.physical_pixel_sizes.X), ours.levels[0].scale[-2:])


def check_volume(url: str, folder: Path) -> None:
    """A volume, with its spacing along three axes."""
    ours = dicomzarr.open(url).levels[0]
    for name, reader in (("ct.zarr", bioio_ome_zarr.Reader), ("ct.ome.tif", bioio_ome_tiff.Reader)):
        dicomzarr.export(url, folder / name)
        theirs = BioImage(folder / name, reader=reader)
        assert np.array_equal(theirs.get_image_data("ZYX"), ours[...])
        assert np.allclose(tuple(theirs.physical_pixel_sizes), ours.scale)


def main() -> None:
    """Check all."""
    volume = [dataset for dataset in phantoms() if dataset.Modality == "CT"]
    with tempfile.TemporaryDirectory() as name, DICOMwebServer(Archive([*demo_files(), *volume])) as server:
        check_slide(server.series_url(STUDY, SERIES), Path(name))
        check_volume(server.series_url(volume[0].StudyInstanceUID, volume[0].SeriesInstanceUID), Path(name))


if __name__ == "__main__":
    main()
