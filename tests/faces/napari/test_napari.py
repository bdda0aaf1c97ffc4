"""The plug-in in a real viewer on a virtual screen. What is compared with what stands in ``napari_stage``."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from waiting import SECONDS

from dicomzarr.demo.slide import demo_files

ROOT = Path(__file__).parents[3]
STAGE = ROOT / "tests" / "support" / "napari_stage.py"


def play(scene: str, folder: Path) -> Any:
    """What a scene tells."""
    xvfb = shutil.which("xvfb-run")
    for what, there in (("xvfb-run", xvfb), ("napari", importlib.util.find_spec("napari"))):
        if not there:
            (pytest.fail if os.environ.get("CI") else pytest.skip)(f"{what} is missing")
    command = [str(xvfb), "-a", "-s", "-screen 0 1280x1024x24", sys.executable, str(STAGE), scene, str(folder)]
    # Whoever uses napari here has settings, which a test must neither meet nor change.
    environment = {**os.environ, "NAPARI_CONFIG": str(folder / "settings.yaml")}
    done = subprocess.run(  # noqa: S603  # our own
        command, capture_output=True, text=True, check=False, timeout=SECONDS, env=environment
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def picture(path: Path) -> np.ndarray[Any, Any]:
    return np.asarray(Image.open(path).convert("RGB")).astype(int)


def test_the_manifest_is_where_the_entry_point_says() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    module, _, name = project["entry-points"]["napari.manifest"]["dicomzarr"].partition(":")
    manifest = ROOT.joinpath(*module.split(".")) / name
    assert f"name: {project['name']}\n" in manifest.read_text(encoding="utf-8")


@pytest.mark.gui
def test_a_slide_is_one_rgb_layer_of_its_levels(tmp_path: Path) -> None:
    told = play("slide", tmp_path)
    assert told == {"rgb": True, "scale": [0.499, 0.499], "units": ["micrometer", "micrometer"]}
    shown = picture(tmp_path / "slide.png")
    red, green, blue = shown[..., 0], shown[..., 1], shown[..., 2]
    assert ((red > green + 30) & (blue > green + 20)).mean() > 0.1  # haematoxylin and eosin


def check_volumes(told: Any) -> None:
    assert told["ct"]["limits"] == [-160.0, 239.0]  # 40, 400: half a value lower, one narrower (PS3.3 C.11.2.1.2)
    assert told["ct"]["labels"] == ["Left lung", "Right lung", "Heart"]
    assert told["ct"]["scale"] == [5.0, 1.4, 1.4]
    assert told["ct"]["units"] == ["millimeter"] * 3
    assert len({tuple(color) for color in told["ct"]["colors"]}) == 3
    assert told["mr"] == {
        "shape": [20, 10, 128, 128],
        "scale": [1.5, 6.0, 1.8, 1.8],
        "units": ["second", *["millimeter"] * 3],
    }
    assert told["sm"]["names"] == ["DAPI", "FITC", "TRITC"]
    assert [color[:3] for color in told["sm"]["colors"]] == [[0, 0, 1], [0, 1, 0], [1, 0, 0]]
    assert told["sm"]["limits"] == [[0, 255]] * 3


@pytest.mark.gui
def test_volumes_time_series_segments_and_fluorescence_by_url_show_every_pixel_in_its_place(tmp_path: Path) -> None:
    check_volumes(play("volumes", tmp_path))
    assert picture(tmp_path / "ct.png").std() > 20
    shown = picture(tmp_path / "cells.png")
    assert ((shown[..., 1] > 120) & (shown[..., 0] < 60) & (shown[..., 2] < 60)).mean() > 0.005  # FITC is green


@pytest.mark.gui
def test_folders_and_files_show_the_same(tmp_path: Path) -> None:
    told = play("folders", tmp_path)
    check_volumes(told)
    assert told["slide"] == [[1600, 1400, 3], [800, 700, 3], [400, 350, 3], [200, 175, 3]]
    assert told["files"] == [56, 256, 256]


@pytest.mark.gui
def test_pet_is_shown_in_its_units(tmp_path: Path) -> None:
    told = play("molecules", tmp_path)
    assert (told["kind"], told["units"]) == ("image", "BQML")
    assert picture(tmp_path / "pet.png").std() > 20


@pytest.mark.gui
def test_a_segmentation_of_a_slide_lies_on_it_as_labels(tmp_path: Path) -> None:
    told = play("nuclei", tmp_path)
    assert (told["rgb"], told["labels"]) == (True, ["Liver", "Left kidney"])
    assert len({tuple(color) for color in told["colors"]}) == 2
    assert picture(tmp_path / "nuclei.png").std() > 20


@pytest.mark.gui
def test_a_volume_lies_in_the_patient_and_begins_with_the_plane_it_was_taken_in(tmp_path: Path) -> None:
    assert play("planes", tmp_path) == {
        "axial": [[0, 1, 2], "down", [30, 40]],
        "sagittal": [[2, 0, 1], "up", [30, 40]],
        "coronal": [[1, 0, 2], "up", [30, 40]],
        "oblique": [[0, 1, 2], "down", [30, 40]],
    }


@pytest.mark.gui
def test_the_viewer_never_waits_for_a_server_and_what_left_the_view_is_not_asked_for(tmp_path: Path) -> None:
    told = play("waiting", tmp_path)
    assert told["held"]  # nothing had come
    assert told["shown"] == [True] * 40  # and yet there was something to see
    assert told["level"] == 0
    assert told["asked"] < told["wanted"]


@pytest.mark.gui
def test_the_viewer_goes_on_while_a_series_is_opened(tmp_path: Path) -> None:
    told = play("opening", tmp_path)
    assert told["beats"] >= 20  # two requests at least, each answered after ten
    assert told["layer"] == ["image", 4]


IMPORTING = """
import importlib, sys, threading

class Noting:
    here = set()
    def find_spec(self, name, path=None, target=None):
        if threading.current_thread() is threading.main_thread():
            self.here.add(name)

from qtpy.QtWidgets import QApplication
application = QApplication([])
import napari.utils.notifications
sys.meta_path.insert(0, Noting())
from dicomzarr.faces.napari.reader import get_reader
importlib.import_module("dicomzarr.faces.napari.browser").Browser(None)
(layer,) = get_reader(sys.argv[1])(sys.argv[1])
assert len(layer[0]) == 4
print(*(name for name in Noting.here if name.partition(".")[0] in {"dicomzarr", "imagecodecs", "aiohttp", "zarr"}))
"""


@pytest.mark.gui
def test_what_reads_series_is_imported_in_another_thread_than_that_of_the_viewer() -> None:
    folder = demo_files()[0].parent
    environment = {**os.environ, "QT_QPA_PLATFORM": "offscreen"}
    command = [sys.executable, "-c", IMPORTING, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=SECONDS, env=environment)  # noqa: S603  # our own
    assert done.returncode == 0, done.stderr
    plugin = {
        f"dicomzarr.faces.napari{each}" for each in ("", ".reader", ".browser", ".background", ".telling", ".facing")
    }
    files = {f"dicomzarr.dicom{each}" for each in ("", ".files", ".files.elements", ".files.file_meta", ".uids")}
    assert set(done.stdout.split()) <= {"dicomzarr", "dicomzarr.errors", "dicomzarr.faces", *plugin, *files}


@pytest.mark.gui
def test_two_hundred_views_of_a_slide_on_a_server_far_away_end_in_the_right_pixels(tmp_path: Path) -> None:
    told = play("views", tmp_path)
    assert told["views"] > 190  # some are within the one before
    assert told["asked"] <= told["wanted"]  # each frame once


@pytest.mark.gui
def test_what_cannot_be_had_is_said_in_a_sentence(tmp_path: Path) -> None:
    told = play("errors", tmp_path)
    assert told["no server"].startswith("No connection to 127.0.0.1:")
    assert told["wrong"].startswith("HTTP status 404 for the metadata of series")
    assert "names no series" in told["above"]
    assert "'x' is no study UID" in told["no url"]
    assert told["401"].startswith("HTTP status 401")
    assert told["401"].endswith("Sign in at Plugins > Browse DICOM, and open it again.")
    (note,) = told["frame"]  # of 56 slices that cannot be had
    assert note.startswith("HTTP status 403 for frame 1 of instance")


@pytest.mark.gui
def test_the_browser_lists_with_pictures_and_opens(tmp_path: Path) -> None:
    told = play("browser", tmp_path)
    assert sorted(text.split(" · ")[0] for text in told["studies"]) == ["CT SEG", "MR", "SM", "SM"]
    assert [text.splitlines()[0] for text in told["series"]] == ["CT", "SEG"]
    assert told["searched"].startswith("MR")
    assert "Demo" not in json.dumps(told)  # whose they are is said to those who ask
    assert told["error"].startswith("'Nonsense=1' is no attribute")
