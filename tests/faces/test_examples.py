"""Every example runs as its reader would run it, without a warning."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from folders import write
from PIL import Image
from radiology_model import AXIAL, distinct
from radiology_volumes import volume
from waiting import SECONDS

EXAMPLES = Path(__file__).parents[2] / "examples"
SUPPORT = Path(__file__).parents[1] / "support"

PRINTED = {
    "ct_to_nifti.py": r"^\(\d+, \d+, \d+\) 32-bit signed integer to ct\.nii\.gz\n\['[^]]*'\] to segments\.nii\.gz\n$",
    "dask_tissue.py": r"7 x 6 tiles, \d+ of them at least half tissue\n$",
    "ome_zarr_tool.py": r"^valid OME-Zarr 0\.5\n.*\(3, 1600, 1400\) 0\.499 micrometer\n",
    "patches_for_training.py": r"^(\(64, 3, 224, 224\) \S+\n){7}\(52, 3, 224, 224\) \S+\n$",
    "patches.py": r"^\d\d patches of tissue, mean R, G, B \[\d+\.",
    "xarray_level.py": r"in micrometer\n100 um x 100 um are \{'c': 3, 'y': 101, 'x': 101\}\n",
}
"""What each example must print of the demo slide."""

SLOW = PRINTED.keys() - {"patches.py"}  # to import, for the most part
NEED_A_SCREEN = {"napari_zarr.py", "napari_and_crop.py"}
NEED_TORCH = {"patches_for_training.py"}
"""A stand-in serves: ``python tests/adapters/run.py torch`` runs them with PyTorch."""
SHARED = {"series.py"}


WITH_STANDIN = f"""
import runpy, sys
sys.path[:0] = [{str(SUPPORT)!r}, {str(EXAMPLES)!r}]
import torch_standin
runpy.run_path(sys.argv.pop(1), run_name="__main__")
"""


def run(command: list[str], folder: Path) -> str:
    """What a command prints; it must end well and complain of nothing."""
    ended = subprocess.run(  # noqa: S603  # our own examples
        command, cwd=folder, capture_output=True, text=True, check=False, timeout=SECONDS
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    return ended.stdout


def test_every_example_is_tested() -> None:
    assert {path.name for path in EXAMPLES.glob("*.py")} == PRINTED.keys() | NEED_A_SCREEN | SHARED


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] if name in SLOW else []) for name in PRINTED]
)
def test_example_prints_something_of_the_demo_series(name: str, tmp_path: Path) -> None:
    example = str(EXAMPLES / name)
    started = ["-c", WITH_STANDIN, example] if name in NEED_TORCH else [example]
    printed = run([sys.executable, "-W", "error", *started], tmp_path)
    assert re.search(PRINTED[name], printed)


def test_an_example_takes_the_series_that_is_named(tmp_path: Path) -> None:
    write(tmp_path / "ct", volume(AXIAL, distinct((4, 16, 20))).datasets)
    printed = run([sys.executable, "-W", "error", str(EXAMPLES / "ct_to_nifti.py"), "ct"], tmp_path)
    assert printed.startswith("(20, 16, 4) ")
    assert "No segments" in printed
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ct", "ct.nii.gz"]


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(PRINTED))
def test_examples_say_in_a_line_that_there_is_no_such_series(name: str, tmp_path: Path) -> None:
    example = str(EXAMPLES / name)
    started = ["-c", WITH_STANDIN, example] if name in NEED_TORCH else [example]
    ended = subprocess.run(  # noqa: S603  # our own examples
        [sys.executable, *started, str(tmp_path / "none")], capture_output=True, text=True, check=False, timeout=SECONDS
    )
    assert ended.returncode == 1
    assert ended.stderr.startswith("There is no file or folder")
    assert "Traceback" not in ended.stderr


def _need(what: str, *, there: bool) -> None:
    """Skip where a developer lacks something, fail where it was promised."""
    if there:
        return
    if os.environ.get("CI"):
        pytest.fail(f"{what} is missing")
    pytest.skip(f"{what} is missing")


@pytest.mark.gui
def test_napari_ome_zarr_and_a_crop_in_a_few_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NAPARI_CONFIG", str(tmp_path / "settings.yaml"))
    xvfb = shutil.which("xvfb-run") or ""
    _need("xvfb-run", there=bool(xvfb))
    _need("napari", there=importlib.util.find_spec("napari") is not None)
    example = [sys.executable, str(EXAMPLES / "napari_and_crop.py")]
    printed = run([xvfb, "-a", "-s", "-screen 0 1280x1024x24", *example], tmp_path)
    assert printed.splitlines()[-2:] == ["ome-zarr-py: (3, 1600, 1400)", "crop: (3, 512, 512)"]


@pytest.mark.gui
def test_napari_shows_tissue_in_its_colours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NAPARI_CONFIG", str(tmp_path / "settings.yaml"))  # whoever uses napari here has settings
    xvfb = shutil.which("xvfb-run") or ""
    _need("xvfb-run", there=bool(xvfb))
    _need("napari", there=importlib.util.find_spec("napari") is not None)
    screenshot = tmp_path / "napari.png"

    # napari's own imports warn, hence no -W error; by default only warnings of the example itself are shown.
    example = [sys.executable, str(EXAMPLES / "napari_zarr.py"), "--screenshot", str(screenshot)]
    run([xvfb, "-a", "-s", "-screen 0 1280x1024x24", *example], tmp_path)

    shown = np.asarray(Image.open(screenshot).convert("RGB")).astype(int)
    red, green, blue = shown[..., 0], shown[..., 1], shown[..., 2]
    assert shown.shape[:2] == (600, 800)
    # Haematoxylin and eosin: red and blue well above green. Glass is white, what lies beside the slide is black.
    stained = (red > green + 30) & (blue > green + 20)
    glass = shown.min(axis=-1) > 220
    beside = shown.max(axis=-1) < 5
    assert 0.15 < stained.mean() < 0.6
    assert 0.1 < glass.mean() < 0.6
    assert 0.2 < beside.mean() < 0.6
    assert not ((green > red + 60) & (green > blue + 60)).mean() > 0.01
