"""The series that the demo makes: what they say of themselves, read by the oracle and by us."""

from __future__ import annotations

import json
import os
import signal
import sys
import urllib.request
from typing import TYPE_CHECKING

import numpy as np
import pytest
from processes import piped
from waiting import SECONDS

import dicomzarr
from dicomzarr.faces.demo.phantoms import phantoms, uid
from dicomzarr.faces.demo.show import demo_archive

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dicomzarr.demo.server import DICOMwebServer

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def archive() -> Iterator[DICOMwebServer]:
    with demo_archive() as server:
        yield server


def _opened(archive: DICOMwebServer, study: str, modality: str) -> dicomzarr.Image:
    return dicomzarr.open(archive.series_url(uid(study), uid(f"{study} {modality}")), labels=True)


def test_phantoms_are_the_same_each_time() -> None:
    one, other = phantoms(), phantoms()
    assert [each.to_json() for each in one[::40]] == [each.to_json() for each in other[::40]]


def test_the_ct_has_its_values_and_its_segments(archive: DICOMwebServer) -> None:
    image = _opened(archive, "ct", "CT")
    slices = sorted((each for each in phantoms() if each.Modality == "CT"), key=lambda each: each.InstanceNumber)
    assert np.array_equal(image.levels[0][...], [each.pixel_array for each in slices])
    assert [label.segments[0].label for label in image.labels.values()] == ["Left lung", "Right lung", "Heart"]
    (segmentation,) = (each for each in phantoms() if each.Modality == "SEG")
    masks = np.zeros((3, *image.levels[0].shape), bool)
    for mask, groups in zip(segmentation.pixel_array, segmentation.PerFrameFunctionalGroupsSequence, strict=True):
        number = groups.SegmentIdentificationSequence[0].ReferencedSegmentNumber - 1
        masks[number, round(float(groups.PlanePositionSequence[0].ImagePositionPatient[2]) / 5)] = mask
    for number, label in enumerate(image.labels.values()):
        assert np.array_equal(label.levels[0][...] > 0, masks[number])
    assert image.images[0].affine is not None
    assert not image.notices


def test_the_mr_is_a_time_series_and_fluorescence_has_three_channels(archive: DICOMwebServer) -> None:
    assert _opened(archive, "mr", "MR").levels[0].shape == (20, 10, 128, 128)
    cells = _opened(archive, "cells", "SM")
    assert [level.shape for level in cells.levels] == [(3, 1024, 1024), (3, 512, 512), (3, 256, 256)]
    assert [channel.label for channel in cells.channels] == ["DAPI", "FITC", "TRITC"]


def test_the_demo_shows_its_page_until_it_is_ended() -> None:
    script = "import sys; from dicomzarr.faces.cli import main; sys.exit(main(sys.argv[1:]))"
    environment = {**os.environ, "BROWSER": "true"}
    command = [sys.executable, "-c", script, "demo", "--open"]
    with piped(*command, env=environment) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        with urllib.request.urlopen(f"{url}api/studies") as reply:  # noqa: S310  # a URL of our own
            rows = json.load(reply)["rows"]
        with urllib.request.urlopen(url) as reply:  # noqa: S310  # as above
            assert b"/page/main.js" in reply.read()
        assert process.stderr is not None
        said = iter(process.stderr.readline, "")
        assert any("the server behind it is dicomweb://127.0.0.1:" in line for line in said)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=SECONDS)
    assert {row["description"] for row in rows} == {"Chest, made", "Perfusion, made", "Cells, made", "dicomzarr demo"}
    assert process.returncode == 130
