from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import oracles
import pydicom
import pytest
from orthanc import Orthanc, synthetic_png
from slides import (
    CODECS,
    TestSlide,
    brightfield_pyramid,
    channels_in_instances,
    coded_slide,
    fluorescence_focal_stack,
    poor_headers,
    sparse_brightfield,
)
from waiting import SECONDS

if TYPE_CHECKING:
    from collections.abc import Callable

TESTS = Path(__file__).parents[1] / "support"


@pytest.mark.parametrize(
    "build",
    [
        brightfield_pyramid,
        channels_in_instances,
        fluorescence_focal_stack,
        poor_headers,
        sparse_brightfield,
    ],
)
def test_series_metadata_has_every_instance(orthanc: Orthanc, build: Callable[[], TestSlide]) -> None:
    slide = build()
    orthanc.load(slide.datasets)
    metadata = orthanc.series_metadata(slide.study_uid, slide.series_uid)
    uids = {instance["00080018"]["Value"][0] for instance in metadata}
    assert uids == {str(dataset.SOPInstanceUID) for dataset in slide.datasets}
    for instance in metadata:
        assert "00480006" in instance


@pytest.mark.parametrize("name", CODECS)
def test_orthanc_takes_every_codec(orthanc: Orthanc, name: str) -> None:
    slide = coded_slide(name)
    orthanc.load(slide.datasets)
    assert len(orthanc.series_metadata(slide.study_uid, slide.series_uid)) == 1


def test_cmu1_series_has_twelve_instances(orthanc: Orthanc, cmu1_files: list[Path]) -> None:
    orthanc.load(cmu1_files)
    first = oracles.read(cmu1_files[0])
    metadata = orthanc.series_metadata(first.StudyInstanceUID, first.SeriesInstanceUID)
    assert len(metadata) == 12


def test_an_instance_is_uploaded_once(orthanc: Orthanc, monkeypatch: pytest.MonkeyPatch) -> None:
    slide = sparse_brightfield(seed=31)
    orthanc.load(slide.datasets)
    uploads: list[bytes] = []
    monkeypatch.setattr(Orthanc, "upload", lambda _, body: uploads.append(body))
    orthanc.load(slide.datasets)
    assert not uploads


def test_urls_name_the_series(orthanc: Orthanc) -> None:
    base = f"127.0.0.1:{orthanc.port}/dicom-web"
    assert orthanc.dicomweb_url == f"http://{base}"
    assert orthanc.series_url("1.2", "3.4") == f"dicomweb://{base}/studies/1.2/series/3.4"
    assert orthanc.series_url("1.2", "3.4", "http") == f"http://{base}/studies/1.2/series/3.4"


def test_password_is_asked_for(orthanc_with_password: Orthanc) -> None:
    anybody = Orthanc(orthanc_with_password.port)
    assert anybody.request("GET", "/dicom-web/studies")[0] == 401
    assert orthanc_with_password.request("GET", "/dicom-web/studies")[0] == 200


def test_dicomized_slide_is_split_and_poor_in_headers(orthanc: Orthanc, orthanc_dicomized_files: list[Path]) -> None:
    orthanc.load(orthanc_dicomized_files)
    datasets = [pydicom.dcmread(path) for path in orthanc_dicomized_files]
    widths = [dataset.TotalPixelMatrixColumns for dataset in datasets]
    assert widths.count(1500) == 5
    assert widths.count(750) == 2
    for dataset in datasets:
        assert "ImageType" not in dataset
        assert "DimensionOrganizationType" not in dataset
        assert "FrameOfReferenceUID" not in dataset
    first = datasets[0]
    metadata = orthanc.series_metadata(first.StudyInstanceUID, first.SeriesInstanceUID)
    assert len(metadata) == len(datasets)


def test_dicomized_tiles_are_those_of_the_image(orthanc_dicomized_files: list[Path], tmp_path: Path) -> None:
    image = synthetic_png(tmp_path / "image.png")
    datasets = [pydicom.dcmread(path) for path in orthanc_dicomized_files]
    finest = [dataset for dataset in datasets if dataset.TotalPixelMatrixColumns == 1500]
    assembled = oracles.assemble(finest)
    assert assembled.covered.all()
    assert np.array_equal(assembled.pixels[:, 0], np.moveaxis(image, -1, 0))


KILLED = """
import os, pathlib, signal, sys
sys.path.insert(0, {tests!r})
from orthanc import running_orthanc
with running_orthanc(pathlib.Path({folder!r})) as server:
    print(server.port, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_server_dies_with_the_tests(orthanc: Orthanc, tmp_path: Path) -> None:
    assert orthanc.request("GET", "/system")[0] == 200
    code = KILLED.format(tests=str(TESTS), folder=str(tmp_path))
    killed = subprocess.run(  # noqa: S603  # this very Python
        [sys.executable, "-c", code], check=False, capture_output=True, env=os.environ, timeout=SECONDS
    )
    orphan = Orthanc(int(killed.stdout))
    assert killed.returncode < 0
    assert refuses_connections(orphan)


def refuses_connections(server: Orthanc) -> bool:
    for _ in range(100):
        try:
            server.request("GET", "/system")
        except OSError:
            return True
        time.sleep(0.02)
    return False
