"""What images and levels say of themselves, as text and in notebooks."""

from __future__ import annotations

from html import unescape
from typing import TYPE_CHECKING

import numpy as np
import pytest
from pydicom.uid import MRImageStorage
from radiology_model import AXIAL, distinct, series_of
from radiology_opened import Opener
from radiology_volumes import VOLUME, modality_lut, pet, uneven, volume
from segmentations import IDENTIFIED, ascending, random_masks, segmented
from serving import serving
from slides import brightfield_pyramid, fluorescence_focal_stack

import dicomzarr
from dicomzarr.arrays.describing import steps
from dicomzarr.plan import Axis

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def opened() -> Iterator[Opener]:
    with Opener() as opener:
        yield opener


def test_a_volume_tells_every_step_its_kind_its_orientation_and_its_values(opened: Opener) -> None:
    image = opened(volume(AXIAL, distinct((5, 16, 20))))
    assert repr(image) == (
        "<dicomzarr.Image 'CT', 1 level>\n"
        "  0: (z, y, x) 5 x 16 x 20 uint16, spacing z 2.5, y 0.8, x 0.6 millimeter\n"
        "  volume of single-frame instances, axial: z to the head, y to the back, x to the left\n"
        '  values in HU: stored values - 1024, or values="modality"'
    )
    assert repr(image.levels[0]) == (
        "<dicomzarr.Level 0 (z: 5, y: 16, x: 20) uint16 in chunks of (1, 16, 20), "
        "spacing z 2.5, y 0.8, x 0.6 millimeter>"
    )


def test_values_that_are_rescaled_say_their_unit_alone(opened: Opener) -> None:
    told = repr(opened(volume(AXIAL, distinct((5, 16, 20))), values="modality"))
    assert told.endswith("\n  values in HU")


def test_a_slope_is_told(opened: Opener) -> None:
    image = opened(volume(AXIAL, distinct((5, 16, 20)), RescaleSlope="0.25", RescaleIntercept="7"))
    assert "values in HU: stored values x 0.25 + 7, or" in repr(image)


def test_slopes_that_differ_are_told_without_a_unit_too(opened: Opener) -> None:
    series = volume(AXIAL, distinct((3, 16, 20)))
    for number, each in enumerate(series.datasets, 1):
        each.Modality, each.SOPClassUID, each.RescaleSlope, each.RescaleType = "MR", MRImageStorage, str(number), "US"
        each.file_meta.MediaStorageSOPClassUID = MRImageStorage
    told = 'stored values; slopes differ from slice to slice: values="modality"'
    image = opened(series)
    assert repr(image).endswith(f"\n  {told}")
    assert told in unescape(image._repr_html_())
    assert "slopes" not in repr(opened(series, values="modality"))


def test_a_slope_a_table_and_slopes_of_a_unit_are_told(opened: Opener) -> None:
    for told, series in (
        ('values in BQML by values="modality": slopes differ from slice to slice', pet(VOLUME, [1, 2, 3, 4, 5])),
        ('by values="modality": a table rescales them', modality_lut()),
    ):
        assert told in repr(opened(series))
        assert told not in repr(opened(series, values="modality"))


def test_what_is_missing_is_named(opened: Opener) -> None:
    whole = volume(AXIAL, distinct((9, 16, 20)))
    ordered = sorted(whole.datasets, key=lambda each: float(each.ImagePositionPatient[2]))
    image = opened(series_of([each for place, each in enumerate(ordered) if place not in {2, 5}]))
    assert "\n  missing: 2 of 9 frames (z 2, z 5)\n" in repr(image)
    assert "\n  1 notice: see image.notices" in repr(image)
    assert "missing: 2 of 9 frames" in image._repr_html_()


def test_uneven_slices_have_no_step(opened: Opener) -> None:
    image = opened(uneven([0, 2, 7, 8], distinct((4, 8, 9))))
    assert ", z uneven or unknown\n" in repr(image)


def test_a_slide_tells_a_number_for_square_pixels_and_its_channels() -> None:
    with serving(brightfield_pyramid()) as slide:
        told = repr(dicomzarr.open(slide.url))
        assert "  0: (c, y, x) 3 x 200 x 257 uint8, spacing 0.5 micrometer\n" in told
        assert "channels" not in told
    with serving(fluorescence_focal_stack()) as slide:
        image = dicomzarr.open(slide.url)
        assert f"\n  channels: {', '.join(channel.label for channel in image.channels)}" in repr(image)


@pytest.mark.parametrize(
    ("axes", "scale", "words"),
    [
        ("t:second z:millimeter y:millimeter x:millimeter", (2.0, 3, 3, 3), "t 2 second, 3 millimeter"),
        ("t:second y:millimeter x:millimeter", (0.5, 0.7, 0.8), "t 0.5 second, y 0.7, x 0.8 millimeter"),
        ("c y x", (1, 1, 1), "unknown"),
        ("z y:micrometer x:micrometer", (1, 0.25, 0.25), "0.25 micrometer, z uneven or unknown"),
    ],
)
def test_steps_are_told_by_unit(axes: str, scale: tuple[float, ...], words: str) -> None:
    kinds = {"t": "time", "c": "channel"}
    told = tuple(
        Axis(name, kinds.get(name, "space"), unit or None)
        for name, _, unit in (each.partition(":") for each in axes.split())
    )
    assert steps(told, scale) == words


def test_a_label_says_what_its_values_are(opened: Opener) -> None:
    ct = volume(AXIAL, distinct((6, 16, 20)), **IDENTIFIED)
    found = segmented(ascending(ct, AXIAL), random_masks((2, 6, 16, 20)))
    server = opened.serve([*ct.datasets, found.dataset])
    image = dicomzarr.open(server.series_url(ct.study_uid, ct.series_uid), labels=True)
    named = ", ".join(f"{name} ({label.segments[0].label})" for name, label in image.labels.items())
    assert f"\n  labels: {named}" in repr(image)
    for label in image.labels.values():
        (segment,) = label.segments
        assert f"\n  segments: {segment.number} {segment.label}" in repr(label)
        html = label._repr_html_()
        assert f"<td>{segment.number}</td><td>{segment.label}</td>" in html
        assert f"background:#{segment.color}" in html


def test_a_level_in_a_notebook_reads_nothing() -> None:
    with serving(brightfield_pyramid()) as slide:
        level = dicomzarr.open(slide.url).levels[1]
        html = level._repr_html_()
        assert slide.count() == 0
    assert "dicomzarr.Level 1 of &#x27;slide&#x27;" in html
    assert f"<td>{' x '.join(map(str, level.shape))}</td>" in html
    assert np.prod(level.shape) == level.size
