"""The reader as wsidata uses it, on a stand-in; ``python tests/adapters/run.py wsidata`` runs it with wsidata."""

from __future__ import annotations

import pickle
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import dicomzarr.wsidata
from dicomzarr.demo.show import demo_server, demo_url
from dicomzarr.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

READER = "dicomzarr.faces.openslide.wsidata"


class OpenSlideReader:
    """What wsidata's reader for OpenSlide does with a slide: it pickles itself without it, and makes it anew."""

    reader_: Any = None

    def set_reader(self, reader: Any) -> None:
        self.reader_ = reader

    def set_properties(self, properties: Any) -> None:
        self.properties = dict(properties)

    def get_region(self, x: int, y: int, width: int, height: int, level: int) -> Any:
        if self.reader_ is None:
            self.create_reader()  # type: ignore[attr-defined]
        return np.asarray(self.reader_.read_region((x, y), level, (width, height)))[..., :3]

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "reader_": None}


class WSIData:
    store: Any = None

    @classmethod
    def from_spatialdata(cls, found: Any, reader: Any) -> WSIData:
        data = cls()
        data.found, data.reader = found, reader  # type: ignore[attr-defined]
        return data

    def set_wsi_store(self, store: Any) -> None:
        self.store = store


@pytest.fixture
def standin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    names = ("wsidata", "wsidata.reader", "wsidata.reader.openslide", "spatialdata")
    modules = {name: ModuleType(name) for name in names}
    vars(modules["wsidata"])["WSIData"] = WSIData
    vars(modules["wsidata.reader.openslide"])["OpenSlideReader"] = OpenSlideReader
    vars(modules["spatialdata"]).update(SpatialData=lambda: "new", read_zarr=lambda path: f"read {path.name}")
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name, module)
    yield
    sys.modules.pop(READER, None)


@pytest.mark.usefixtures("standin")
def test_a_slide_is_read_and_its_reader_travels(tmp_path: Path) -> None:
    with demo_server() as server:
        data = dicomzarr.wsidata.open_wsi(demo_url(server), tmp_path / "new.zarr")
        assert (data.found, data.store) == ("new", tmp_path / "new.zarr")
        assert data.reader.properties["openslide.mpp-x"] == "0.499"
        assert data.reader.file == demo_url(server)
        expected = np.moveaxis(dicomzarr.open(demo_url(server)).levels[1][:, 100:150, 200:260], 0, -1)
        sent = pickle.loads(pickle.dumps(data.reader))  # noqa: S301  # our own
        for reader in (data.reader, sent):
            np.testing.assert_array_equal(reader.get_region(400, 200, 60, 50, 1), expected)


@pytest.mark.usefixtures("standin")
def test_what_was_kept_is_read(tmp_path: Path) -> None:
    (tmp_path / "kept.zarr").mkdir()
    with demo_server() as server:
        assert dicomzarr.wsidata.open_wsi(demo_url(server), tmp_path / "kept.zarr").found == "read kept.zarr"
        assert dicomzarr.wsidata.open_wsi(demo_url(server)).store is None


def test_without_wsidata_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "wsidata", None)
    monkeypatch.delitem(sys.modules, READER, raising=False)
    with pytest.raises(UsageError, match="pip install wsidata"):
        dicomzarr.wsidata.open_wsi("dicomweb://127.0.0.1/studies/1/series/2")
