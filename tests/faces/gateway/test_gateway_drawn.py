"""What the page draws: palettes in colour, what Modality LUTs lead to, and stored values for everybody else."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING

import numpy as np
import pydicom
import pytest
from gateways import ask, folder_upstream, gateway
from page_images import RAMP, linear, picture, with_modality_lut, with_palette
from PIL import Image

if TYPE_CHECKING:
    from pathlib import Path

    from pydicom.dataset import Dataset

TABLE = np.arange(4096, dtype=np.uint16)[::-1] // 4
PALETTE = np.stack([np.arange(256) * 257, np.arange(256)[::-1] * 257, np.full(256, 128 * 257)], axis=-1)
INDICES = (RAMP // 16).astype(np.uint8)


def table() -> Dataset:
    return with_modality_lut(picture("drawn table", "MR", RAMP, WindowCenter=500, WindowWidth=1000), TABLE)


def palette() -> Dataset:
    return with_palette(picture("drawn palette", "US", INDICES), PALETTE)


def plain() -> Dataset:
    return picture("drawn plain", "MR", RAMP)


def put(folder: Path, dataset: Dataset) -> str:
    pydicom.dcmwrite(folder / "one.dcm", dataset, enforce_file_format=True)
    return f"studies/{dataset.StudyInstanceUID}/series/{dataset.SeriesInstanceUID}"


@pytest.mark.parametrize(
    ("dataset", "values", "key", "expected"),
    [
        (table(), "modality", "0/c/0/0", TABLE[RAMP]),
        (palette(), "color", "0/c/0/0/0", np.moveaxis(PALETTE[INDICES], -1, 0).astype(np.uint16)),
        (plain(), None, "0/c/0/0", RAMP),
    ],
)
def test_what_is_drawn_has_a_version_of_its_own(
    tmp_path: Path, dataset: Dataset, values: str | None, key: str, expected: np.ndarray
) -> None:
    series = put(tmp_path, dataset)
    with gateway(folder_upstream(tmp_path)) as running:
        told = json.loads(ask(f"{running.url}/api/{series}").body)
        assert told["drawn"].get("values") == values
        assert (told["drawn"]["version"] == told["version"]) == (values is None)
        query = "&".join(f"{name}={value}" for name, value in told["drawn"].items())
        for route in ("frames", "0.5"):
            reply = ask(f"{running.url}/{route}/{series}.zarr/{key}?{query}", Accept="application/octet-stream")
            assert reply.body == expected.tobytes()
            assert "immutable" in reply.headers["Cache-Control"]
        assert ask(f"{running.url}/0.5/{series}.zarr/zarr.json?{query}").status == 200


@pytest.mark.parametrize("dataset", [table(), palette(), plain()])
def test_the_url_for_other_tools_has_stored_values(tmp_path: Path, dataset: Dataset) -> None:
    series = put(tmp_path, dataset)
    with gateway(folder_upstream(tmp_path)) as running:
        for route in ("frames", "0.5"):
            reply = ask(f"{running.url}/{route}/{series}.zarr/0/c/0/0", Accept="application/octet-stream")
            assert reply.body == dataset.PixelData
        assert ask(f"{running.url}/0.5/{series}.zarr/0/c/0/0?values=grey").status == 400


def test_a_thumbnail_shows_what_a_modality_lut_leads_to(tmp_path: Path) -> None:
    series = put(tmp_path, table())
    with gateway(folder_upstream(tmp_path)) as running:
        drawn = np.asarray(Image.open(io.BytesIO(ask(f"{running.url}/api/{series}/thumbnail?size=64").body)))
    assert np.abs(drawn[..., 0].astype(float) - linear(TABLE[RAMP].astype(float), 500, 1000)).max() < 8


def test_modality_values_of_a_table_need_no_more_rescaling(tmp_path: Path) -> None:
    series = put(tmp_path, table())
    with gateway(folder_upstream(tmp_path)) as running:
        said = [
            json.loads(ask(f"{running.url}/0.5/{series}.zarr/zarr.json{query}").body)["attributes"]["dicomzarr"]
            for query in ("", "?values=modality")
        ]
    assert [each.get("rescale") for each in said] == [None, {"slope": 1.0, "intercept": 0.0}]
