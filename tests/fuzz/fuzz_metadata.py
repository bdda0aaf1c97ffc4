"""Metadata of series of all kinds, changed, through parsing and planning to the documents of the store."""

from __future__ import annotations

import itertools
import json
import math
from typing import TYPE_CHECKING, Any, Final

import msgspec
import numpy as np
import radiology
import slides
from cases import Case
from fuzz_faces import check_said, show
from highdicom.seg import SegmentationTypeValues
from mutations import MARK, mutate_bytes, mutate_json, spelled
from radiology_model import AXIAL
from radiology_slices import Identity, stack
from segmentations import segmented
from slides_model import instance_metadata

from dicomzarr.dicom.model.instances import decode_instances
from dicomzarr.dicom.series import parse_series
from dicomzarr.errors import DicomZarrError
from dicomzarr.omezarr.documents import V3
from dicomzarr.omezarr.documents_v2 import V2
from dicomzarr.omezarr.hierarchy import nodes
from dicomzarr.omezarr.layout import build_hierarchy
from dicomzarr.plan import plan_images, wanted_bulk
from dicomzarr.plan.labels import add_labels

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from random import Random

    from pydicom import Dataset

    from dicomzarr.dicom.series import Series
    from dicomzarr.plan import Channel, ImagePlan, LevelPlan, SeriesPlan

_MOST_BYTES: Final = 40_000
_MOST_CHUNKS: Final = 300
_STUDY, _SERIES = "0020000D", "0020000E"
_SHOWN: Final = ("00480106", "00480107", "00620005")
"""OpticalPathIdentifier, OpticalPathDescription, SegmentLabel: names of channels and labels."""
_SLIDES: Final = ("sparse", "fluorescence_focal_stack", "concatenation", "brightfield_pyramid", "two_pyramids")


class Metadata:
    """A corpus of series metadata."""

    def __init__(self) -> None:
        made = [build().datasets for build in radiology.BUILDERS.values()]
        made += [slides.BUILDERS[name]().datasets for name in _SLIDES]
        sources = stack(Identity("segmented"), radiology.SLICES, AXIAL)
        segmentations = [[dataset] for dataset in _segmentations(sources)]
        bodies = [_body(datasets) for datasets in (*made, *segmentations)]
        self.segmentations = [json.loads(body) for body in bodies[-len(segmentations) :]]
        self.segmented = plan_images(parse_series(decode_instances(_body(sources)), *_uids(sources[0])))
        # Long tables are the business of other tests; here they would only cost time.
        self.bytes = [body for body in bodies if len(body) < _MOST_BYTES]
        self.series: list[list[Any]] = list(map(json.loads, self.bytes))
        for number, body in enumerate(self.bytes):  # which must open, the first with all that is imported for it
            self.run(_unchanged(body, faces=not number))

    def make(self, random: Random) -> Case:
        """The metadata of a series with changes."""
        series = random.choice(self.series if random.random() < 0.9 else self.segmentations)
        settings = {
            "study": series[0][_STUDY]["Value"][0],
            "series": series[0][_SERIES]["Value"][0],
            "values": random.choice(("stored", "stored", "modality", "color")),
            "associated_label": random.random() < 0.2,
            "include_phi": random.random() < 0.1,
            "faces": random.random() < 0.2,
        }
        if random.random() < 0.1:
            return Case(mutate_bytes(random, spelled(random, series), self.bytes), settings)
        changed = mutate_json(random, series, self.series)
        _unmark(changed)
        return Case(spelled(random, changed), settings)

    def run(self, case: Case) -> str:
        """Open the series as far as that goes without a server."""
        chosen = case.settings
        try:
            items = decode_instances(case.data)
            parsed = parse_series(items, chosen["study"], chosen["series"])
            bulk = dict.fromkeys(wanted_bulk(parsed, chosen["values"]), bytes(range(256)))
            label = chosen["associated_label"]
            plan = plan_images(parsed, associated_label=label, values=chosen["values"], bulk=bulk)
            plans = [plan, *self._with_labels(parsed)]
            identity = dict(parsed.patient) if chosen["include_phi"] else {}
            roots = [build_hierarchy(each, identity, zarr) for each in plans for zarr in (V2, V3)]
        except DicomZarrError as error:
            check_said(str(error))
            raise
        for _, node in itertools.chain(*map(nodes, roots)):
            for document in node.documents.values():
                _check_document(document)
                if not chosen["include_phi"]:
                    check_said(document.decode())
        for image in itertools.chain(*map(_images, plans)):
            for channel in image.channels:
                _check_channel(channel)
            for level in image.levels:
                _check_level(level)
        if chosen["faces"]:
            show(plans[-1], chosen["study"], chosen["series"])
        return "opened"

    def _with_labels(self, series: Series) -> Iterator[SeriesPlan]:
        """What was segmented, with a segmentation as its labels."""
        if any(instance.segmentation for instance in series.instances):
            yield add_labels(self.segmented, [series])


def _body(datasets: Iterable[Dataset]) -> bytes:
    return msgspec.json.encode(list(map(instance_metadata, datasets)), enc_hook=str)


def _uids(dataset: Dataset) -> tuple[str, str]:
    return str(dataset.StudyInstanceUID), str(dataset.SeriesInstanceUID)


def _images(plan: SeriesPlan) -> Iterator[ImagePlan]:
    for image in (*plan.images, *(image for _, image in plan.associated)):
        yield from (image, *image.labels)


def _unchanged(body: bytes, *, faces: bool) -> Case:
    first = json.loads(body)[0]
    uids = {"study": first[_STUDY]["Value"][0], "series": first[_SERIES]["Value"][0]}
    return Case(body, {**uids, "values": "stored", "associated_label": True, "include_phi": False, "faces": faces})


def _unmark(value: Any) -> None:
    """Take a patient's text out of the labels that are shown on purpose."""
    for name, member in value.items() if isinstance(value, dict) else enumerate(value):
        if name in _SHOWN and any(word in json.dumps(member) for word in MARK.split("^")):
            value[name] = {"Value": ["A label"]}
        elif isinstance(member, dict | list):
            _unmark(member)


def _segmentations(sources: list[Dataset]) -> Iterator[Dataset]:
    masks = (np.arange(2 * radiology.SLICES.size) % 3 == 0).astype(np.uint8).reshape(2, *radiology.SLICES.shape)
    for kind in (SegmentationTypeValues.BINARY, SegmentationTypeValues.LABELMAP):
        made = masks if kind is SegmentationTypeValues.BINARY else masks[0] * np.uint8(2)
        yield segmented(sources, made, kind=kind).dataset


def _check_document(document: bytes) -> None:
    """Any JSON parser reads it, and reads the same."""

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    json.loads(document, parse_constant=refuse)


def _check_level(level: LevelPlan) -> None:
    """Shapes that are possible, steps that are numbers, and no frame at two places."""
    assert len(level.shape) == len(level.chunks) == len(level.scale) == len(level.translation)
    assert all(chunk > 0 for chunk in level.chunks)
    assert all(0 < size < 2**63 for size in level.shape)
    assert all(math.isfinite(step) and step > 0 for step in level.scale)
    assert all(map(math.isfinite, level.translation))
    places = itertools.islice(itertools.product(*map(range, level.grid)), _MOST_CHUNKS)
    found = [frame for place in places if (frame := _located(level, place)) is not None]
    assert len({(id(frame.instance), frame.number) for frame in found}) == len(found), "a frame is at two places"


def _check_channel(channel: Channel) -> None:
    """Windows from a number to a larger one."""
    for low, high in filter(None, (channel.window, channel.shown)):
        assert math.isfinite(low)
        assert math.isfinite(high)
        assert low <= high


def _located(level: LevelPlan, place: tuple[int, ...]) -> Any:
    try:
        frame = level.frames.locate(place)
    except DicomZarrError:
        return None
    assert frame is None or 1 <= frame.number <= frame.instance.number_of_frames
    return frame


TARGETS = {"metadata": Metadata}
