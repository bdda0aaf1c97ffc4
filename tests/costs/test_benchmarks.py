"""The benchmarks run, in a tiny size: they cannot rot."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from waiting import SECONDS

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
ELSEWHERE = {"DICOMZARR_EZ_WSI", "DICOMZARR_ORTHANC_ROOT"}
"""Variables that name peers with environments of their own."""
MARK = "<!-- measured: what follows is written by tests/benchmarks/run.py --markdown -->"


def _measured(folder: Path, *names: str) -> dict[str, Any]:
    """What the named benchmarks find, written as JSON and as a page."""
    found, page = folder / "found.json", folder / "page.md"
    page.write_text(f"# Before\n\n{MARK}\n\nof another day\n")
    options = ["--tiny", "--latency", "0", "--json", str(found), "--markdown", str(page), "--only", *names]
    command = [sys.executable, str(BENCHMARKS / "run.py"), *options]
    # Who takes part goes by what is installed beside the tests, and not by what is elsewhere on this machine.
    here = {name: value for name, value in os.environ.items() if name not in ELSEWHERE}
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=SECONDS, env=here)  # noqa: S603  # ours
    assert done.returncode == 0, done.stderr
    assert "says nothing: all was tiny" in done.stdout
    written = page.read_text()
    assert written.startswith("# Before\n")
    assert "of another day" not in written
    assert "### Targets" in written
    everything: dict[str, Any] = json.loads(found.read_text())
    assert all(row["seconds"] > 0 for row in everything["rows"])
    assert everything["targets"]
    return everything


def _readers(everything: dict[str, Any], task: str) -> set[str]:
    return {row["reader"] for row in everything["rows"] if task in row["task"]}


@pytest.mark.slow
def test_the_gateway_is_measured(tmp_path: Path) -> None:
    options = ["--seconds", "0.2", "--slices", "3", "--viewers", "3", "--json", str(tmp_path / "found.json")]
    command = [sys.executable, str(BENCHMARKS / "gateway.py"), *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=SECONDS)  # noqa: S603  # ours
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "found.json").read_text())
    assert len(found["rows"]) >= 6
    assert all(row["requests_a_second"] > 0 for row in found["rows"])
    assert found["viewers"]["errors"] == 0


@pytest.mark.slow
def test_readers_of_regions_agree_and_are_measured(tmp_path: Path) -> None:
    found = _measured(tmp_path, "region", "patches")
    everybody = {"limit", "limit, yxc", "dicomzarr", "dicomzarr, yxc", "zarr, the same chunks on this disk"}
    arrays = {f"wsidicom, array, threads={number}" for number in (1, 2, 4, 8)}
    at_once = {f"wsidicom, array, {number} patches at once" for number in (2, 8, 32)}
    for again in ("", ", warm"):
        readers = {
            name: {row["reader"] for row in found["rows"] if row["task"] == f"{name}{again}"}
            for name in ("region of 512 x 512", "4 random patches of 256 x 256")
        }
        assert readers["region of 512 x 512"] == {*everybody, *arrays, "wsidicom, picture, threads=2"}
        assert readers["4 random patches of 256 x 256"] == {*everybody, "wsidicom, array, threads=1", *at_once}
    remote = [row for row in found["rows"] if row["reader"].startswith(("wsidicom", "dicomzarr"))]
    assert all(row["requests"] > 0 and row["megabytes"] > 0 for row in remote)


@pytest.mark.slow
def test_readers_of_levels_and_tiles_agree_and_are_measured(tmp_path: Path) -> None:
    found = _measured(tmp_path, "codings", "level", "tile", "zarr")
    for coding in ("JPEG 2000", "HTJ2K", "JPEG-LS", "RLE", "native 16 bit"):
        assert _readers(found, f"in {coding}") == {"limit", "limit by http.client", "dicomzarr"}
    assert _readers(found, "whole level") >= {
        "limit",
        "wsidicom, array, threads=1",
        "dicomzarr, level[...]",
        "dicomzarr, to_dask().compute()",
        "dicomzarr, to_dask() stored",
    }
    assert len(_readers(found, "one tile")) == 4
    assert len(_readers(found, "tiles through zarr")) >= 6
    assert {row["milliseconds"] for row in found["rows"]} == {0, 50}


@pytest.mark.slow
def test_the_budget_of_a_frame_names_every_stage(tmp_path: Path) -> None:
    file = tmp_path / "budget.json"
    command = [sys.executable, str(BENCHMARKS / "budget.py"), "--rounds", "1", "--json", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=SECONDS)  # noqa: S603  # ours
    assert done.returncode == 0, done.stderr
    found: dict[str, float] = json.loads(file.read_text())
    assert {"parse", "place", "queue and deliver", "decode: the codec alone", "read cyx: decoders"} <= found.keys()
    assert found["calls on the loop, region"] > 0


@pytest.mark.slow
def test_processes_of_their_own_are_measured(tmp_path: Path) -> None:
    found = _measured(tmp_path, "memory", "sparse")
    assert _readers(found, "sparse level of 400") == {"dicomzarr", "wsidicom"}
    assert _readers(found, "sparse level of 800") == {"dicomzarr"}
    assert _readers(found, "maximum") == {"dicomzarr, to_dask().max()"}


@pytest.mark.slow
def test_readers_of_files_agree_and_are_measured(tmp_path: Path) -> None:
    found = _measured(tmp_path, "files")
    installed = {name for name in ("wsidicom", "tiffslide", "openslide", "fastslide") if find_spec(name)}
    peers = {f"{name}, threads=1" for name in installed}
    peers |= {f"{name}, DICOM, threads=1" for name in installed & {"fastslide"}}
    assert _readers(found, "file: region") == {"limit, yxc", "dicomzarr", "dicomzarr, yxc", *peers}
    assert _readers(found, "file: 4 random patches") == _readers(found, "file: region")
    assert _readers(found, "server of ranges") == {"dicomzarr", "dicomzarr, yxc", "wsidicom, threads=1"}
    assert len(found["notes"]) == 4 - len(installed)


@pytest.mark.slow
def test_exports_are_measured(tmp_path: Path) -> None:
    found = _measured(tmp_path, "export")
    downloads = [name for name in ("tiffslide", "ngff_zarr") if find_spec(name)]
    assert len(_readers(found, "export of a level")) == 11 + len(downloads)
    assert len(found["targets"]) == 7 + len(downloads)


@pytest.mark.slow
def test_strategies_are_compared(tmp_path: Path) -> None:
    found = _measured(tmp_path, "strategies")
    readers = _readers(found, "lists cost twice")
    assert {name.partition(" ")[0] for name in readers} == {"lists", "singles", "dicomzarr,"}
    is_measured = any("Orthanc 1." in row["task"] for row in found["rows"])
    is_said = any("an Orthanc took no part" in note for note in found["notes"])
    assert is_measured != is_said
