"""BioIO finds the plug-in by the URL alone, beside its own for OME-Zarr, and reads every level and image."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
from bioio import BioImage
from bioio.plugins import get_plugins
from bioio_base.types import ureg
from bioio_dicomzarr.reader import Reader
from demo_series import demo_series

import dicomzarr


def check_slide(url: str) -> None:
    """Scenes, levels, channels and sizes of a slide."""
    image, ours = BioImage(url), dicomzarr.open(url)
    assert isinstance(image.reader, Reader)
    assert image.scenes == ("slide", "thumbnail")
    assert image.resolution_levels == (0, 1, 2, 3)
    assert image.channel_names == [channel.label for channel in ours.channels]
    for level in ours.levels:
        image.set_resolution_level(level.number)
        assert np.array_equal(image.get_image_data("CYX"), level.to_numpy())
        assert image.physical_pixel_sizes == (None, *level.scale[-2:])
    assert image.reader.dimension_properties.X.unit == ureg("micrometer").units
    assert np.array_equal(image.get_image_dask_data("YX", C=1), ours.levels[3][1])
    assert image.dims.order == "TCZYX"
    assert "ome" in image.metadata
    image.set_scene("thumbnail")
    assert np.array_equal(image.get_image_data("CYX"), ours.associated["thumbnail"].to_numpy())


def check_volumes(ct: str, perfusion: str) -> None:
    """Options, three axes of space, and time."""
    image, ours = BioImage(ct, fs_kwargs={"values": "modality"}), dicomzarr.open(ct, values="modality")
    assert np.array_equal(image.get_image_data("ZYX"), ours.to_numpy())
    assert tuple(image.physical_pixel_sizes) == ours.levels[0].scale
    times = BioImage(perfusion)
    assert np.array_equal(times.get_image_data("TZYX"), dicomzarr.open(perfusion).to_numpy())
    assert dicomzarr.open(perfusion).levels[0].scale[0] == times.scale.T


def check_others(folder: Path) -> None:
    """BioIO's own reader of OME-Zarr still reads what is its."""
    assert {"bioio-dicomzarr", "bioio-ome-zarr"} >= {
        plugin.entrypoint.name for plugins in get_plugins(use_cache=False).values() for plugin in plugins
    }
    assert type(BioImage(str(folder)).reader).__module__.startswith("bioio_ome_zarr")


if __name__ == "__main__":
    with demo_series() as demo, tempfile.TemporaryDirectory() as temporary:
        check_slide(demo.slide)
        check_volumes(demo.ct, demo.perfusion)
        exported = Path(temporary) / "slide.zarr"
        dicomzarr.export(demo.slide, exported, levels=[3], images=[""])
        check_others(exported)
