"""The plug-in for BioIO, by BioIO's protocol: what it asks of the distribution, and what the reader gives."""

from __future__ import annotations

import importlib
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import fsspec
import numpy as np
import pytest
import stand_ins
from radiology_model import AXIAL, distinct
from radiology_opened import Opener
from radiology_volumes import volume
from serving import Served, serving
from slides import brightfield_pyramid, two_pyramids

import dicomzarr

if TYPE_CHECKING:
    from collections.abc import Iterator

PLUGIN = Path(__file__).parents[2] / "plugins" / "bioio-dicomzarr"


@pytest.fixture
def plugin(monkeypatch: pytest.MonkeyPatch) -> Any:
    stand_ins.install(monkeypatch, stand_ins.BIOIO, "bioio_dicomzarr", "bioio_dicomzarr.reader")
    monkeypatch.syspath_prepend(PLUGIN)
    return importlib.import_module("bioio_dicomzarr")


@pytest.fixture(scope="module")
def slide() -> Iterator[Served]:
    with serving(brightfield_pyramid()) as each:
        yield each


def test_the_distribution_is_as_bioio_asks() -> None:
    """A name or requirement that differs breaks BioIO for every image, not only for ours."""
    project = tomllib.loads((PLUGIN / "pyproject.toml").read_text())["project"]
    (entry,) = project["entry-points"]["bioio.readers"].items()
    assert entry == (project["name"], "bioio_dicomzarr")
    assert sum(each.startswith("bioio-base") for each in project["dependencies"]) == 1


def test_the_metadata_import_no_reader(plugin: Any) -> None:
    told = plugin.ReaderMetadata
    assert told.get_supported_extensions() == []
    assert told.supports_directory_images()
    assert told.get_reader().__module__ == "bioio_dicomzarr.reader"


def test_only_our_urls_are_taken(plugin: Any, slide: Served, tmp_path: Path) -> None:
    reader = plugin.ReaderMetadata.get_reader()
    assert reader._is_supported_image(*fsspec.url_to_fs(slide.url))
    assert not reader._is_supported_image(*fsspec.url_to_fs(str(tmp_path)))
    with pytest.raises(stand_ins.UnsupportedFileFormatError):
        reader(str(tmp_path))


def test_scenes_and_levels_are_the_images_and_theirs(plugin: Any, slide: Served) -> None:
    reader, image = plugin.ReaderMetadata.get_reader()(slide.url), dicomzarr.open(slide.url)
    assert reader.scenes == (image.name, *image.associated)
    for level in image.levels:
        reader.set_resolution_level(level.number)
        lazy = reader._read_delayed()
        assert lazy.dims == ("C", "Y", "X")
        assert np.array_equal(lazy.to_numpy(), level.to_numpy())
        assert np.array_equal(reader._read_immediate(), level.to_numpy())
        assert reader.physical_pixel_sizes == (None, *level.scale[-2:])
    assert list(lazy.C.values) == [channel.label for channel in image.channels]
    assert "ome" in lazy.attrs["unprocessed"]
    assert reader.dimension_properties.X == ("space", "micrometer")
    reader.set_scene("overview")  # which has one level
    assert np.array_equal(reader._read_immediate(), image.associated["overview"].to_numpy())


def test_images_of_one_name_are_told_by_path(plugin: Any) -> None:
    with serving(two_pyramids()) as served:
        names = [image.name for image in dicomzarr.open(served.url).images]
        scenes = plugin.ReaderMetadata.get_reader()(served.url).scenes
    assert len(set(scenes)) == len(scenes) >= len(names) == 2


def test_volumes_take_options(plugin: Any) -> None:
    with Opener() as opened:
        url = opened.url(volume(AXIAL, distinct((5, 16, 20))))
        reader = plugin.ReaderMetadata.get_reader()(url, fs_kwargs={"values": "modality"})
        image = dicomzarr.open(url, values="modality")
        assert np.array_equal(reader._read_immediate(), image.to_numpy())
        assert tuple(reader.physical_pixel_sizes) == image.levels[0].scale
        assert reader.dimension_properties.Z == ("space", "millimeter")
        assert reader.time_interval is None
