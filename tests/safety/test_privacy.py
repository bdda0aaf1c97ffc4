"""Whoever looks at a series does not see whose it is: no face, file, message or log line shows what was planted."""

from __future__ import annotations

import json
from functools import cache
from typing import TYPE_CHECKING, Any, Final

import msgspec
import numpy as np
import pytest
import radiology_dimensions as dimensions
import radiology_volumes as volumes
import slides
from aiohttp import web
from faults import change_parts, fault, status
from highdicom.seg import SegmentationTypeValues
from privacy_faces import all_of, commands, datasets, documents, files, overheard, paths, spellings
from privacy_marks import BIRTH, IMAGE_TYPE, MARK, SHOWN, TIME, found_in, marked, metadata_of
from radiology import SLICES
from radiology_model import AXIAL, distinct, series_of
from radiology_multiframe import real_world_values, two_stacks
from radiology_opened import Opener, pixels_of
from radiology_slices import Identity, stack
from radiology_uptake import pet
from segmentations import segmented

import dicomzarr
from dicomzarr.dicom.model.image_model import FrameGroups, ImageItem, Macro
from dicomzarr.dicom.model.instances import decode_instances
from dicomzarr.dicom.model.json_model import InstanceItem
from dicomzarr.dicom.series import parse_series
from dicomzarr.errors import DicomZarrError, GridError, InvalidAttributeError
from dicomzarr.faces import cli
from dicomzarr.omezarr.attributes import dicomzarr_attributes
from dicomzarr.omezarr.documents import V3
from dicomzarr.omezarr.hierarchy import nodes
from dicomzarr.omezarr.layout import build_hierarchy
from dicomzarr.plan import plan_images
from dicomzarr.session import opening

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from aiohttp.typedefs import Handler, Middleware
    from multipart_parts import Part
    from privacy_marks import JSON, Instances
    from pydicom import Dataset

    from dicomzarr.arrays.image import Image

SCRIPT: Final = "<script>alert(1)</script>"


def ct() -> list[Dataset]:
    return list(volumes.volume().datasets)


def bolus() -> list[Dataset]:
    """One place at several times, told apart by nothing but the times."""
    series = volumes.bolus(distinct((4, 16, 20)), ["120000", "120002", "120004", "120006"])
    for dataset in series.datasets:
        del dataset.AcquisitionNumber
    return list(series.datasets)


def seg() -> list[Dataset]:
    masks = (np.arange(2 * SLICES.size) % 3 == 0).astype(np.uint8).reshape(2, *SLICES.shape)
    return [segmented(sources(), masks, kind=SegmentationTypeValues.BINARY).dataset]


def sources() -> list[Dataset]:
    """What was segmented."""
    return stack(Identity("segmented"), SLICES, AXIAL)


SERIES: Final[dict[str, Callable[[], list[Dataset]]]] = {
    "CT": ct,
    "times": bolus,
    "PET": lambda: list(volumes.pet(distinct((4, 16, 20), bits=16), [0.5, 1, 2, 4]).datasets),
    "enhanced MR": lambda: list(two_stacks(SLICES, SLICES[:3, ::-1]).datasets),
    "real world values": lambda: list(real_world_values(SLICES).datasets),
    "ultrasound": lambda: list(volumes.ultrasound(distinct((16, 20, 3), bits=8)).datasets),
    "SEG": seg,
    "slide": lambda: list(slides.brightfield_pyramid().datasets),
    "fluorescence": lambda: list(slides.fluorescence_focal_stack().datasets),
}


@cache
def plain(name: str) -> bytes:
    """Metadata of a series."""
    return json.dumps(metadata_of(SERIES[name]())).encode()


@cache
def told(name: str, *, names_as_text: bool = False) -> bytes:
    """Metadata of a series, marked."""
    return json.dumps(marked(json.loads(plain(name)), names_as_text=names_as_text)).encode()


def saying(body: bytes) -> Middleware:
    """A server that sends these bytes as metadata."""

    async def act(_request: web.Request, _handler: Handler) -> web.StreamResponse:
        return web.Response(body=body, content_type="application/dicom+json")

    return fault(act, on="metadata")


def marking() -> Middleware:
    """A server that marks the metadata of every series."""

    async def act(request: web.Request, handler: Handler) -> web.StreamResponse:
        response = await handler(request.clone(headers={**request.headers, "Accept-Encoding": "identity"}))
        assert isinstance(response, web.Response)
        assert isinstance(response.body, bytes)
        body = json.dumps(marked(json.loads(response.body))).encode()
        return web.Response(body=body, content_type="application/dicom+json")

    return fault(act, on="metadata")


@pytest.fixture
def opened() -> Iterator[Opener]:
    """Opens series from servers in this process."""
    with Opener() as opener:
        yield opener


def open_marked(opened: Opener, name: str, *middlewares: Middleware, **options: Any) -> Image:
    """Open a marked series."""
    return opened(series_of(SERIES[name]()), saying(told(name)), *middlewares, **options)


# --- what is planted is found


def test_marks_are_everywhere_and_are_found() -> None:
    for name in SERIES:
        (first, *_) = json.loads(told(name))
        assert len(first) > 800
        assert {f"{MARK}00100010", f"{MARK}00081030", f"{MARK.upper()}00180015", BIRTH} <= set(found_in(told(name)))
    assert TIME in found_in(f"at {TIME}.25")
    assert found_in("somebody HIDDEN^PERSON", MARK.lower().encode()) == ["HIDDEN^PERSON", MARK.lower()]
    assert found_in("-370025449", "acquisition_time -3.70025e+08 s") == ["-3.70025e+08", "-370025449"]
    assert found_in(f"1.2.826.9{TIME}3", "microscopy") == []


def test_who_asks_for_it_sees_the_patient(opened: Opener) -> None:
    image = open_marked(opened, "CT", include_phi=True)
    found = found_in(*documents(image.store))
    assert {f"{MARK}00100010", f"{MARK}00100020", BIRTH} <= set(found)
    assert set(found) <= {*(f"{MARK}{tag}" for tag in ("00100010", "00100020", "00080050", "00400512")), BIRTH}


# --- what is shown


MORE: Final = ("PET", "ultrasound", "times")
"""Series that show little that the others do not."""


@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.slow) if n in MORE else n for n in SERIES])
def test_no_face_shows_whose_series_it_is(
    opened: Opener, name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with overheard() as said:
        image = open_marked(opened, name, cache_dir=str(tmp_path))
        for each in (*image.images, *image.associated.values()):
            assert pixels_of(each).size
        assert found_in(*documents(image.store)) == []
        assert found_in(*spellings(image)) == []
        assert found_in(*datasets(image.series_url, image, cache_dir=str(tmp_path))) == []
        assert found_in(*paths(image.series_url, cache_dir=str(tmp_path))) == []
        assert found_in(*commands(image.series_url, capsys)) == []
        for endpoint in opening._endpoints.recent.values():
            assert all(disk.written(20) for disk in endpoint.disks)
    assert found_in(*said) == []
    assert found_in(*files(tmp_path)) == []
    assert list(tmp_path.rglob("*"))


@pytest.mark.parametrize("values", ["modality", "color"])
def test_other_values_do_not_show_it_either(opened: Opener, values: str) -> None:
    image = open_marked(opened, "CT", values=values)
    assert found_in(*documents(image.store), *spellings(image), *datasets(image.series_url, image)) == []


def test_suv_shows_nothing_of_whom_it_is_computed_by(opened: Opener) -> None:
    series = pet()
    told_of = marked(metadata_of(series.datasets))
    with pytest.raises(InvalidAttributeError) as raised:  # codes and times are spoiled by what is planted
        opened(series, saying(json.dumps(told_of).encode()), values="suv")
    assert found_in(str(raised.value), raised.value.__context__) == []
    for instance, dataset in zip(told_of, metadata_of(series.datasets), strict=True):
        for tag in ("00541001", "00541102", "00280051", "00080021", "00080031", "00080022", "00080032", "00540016"):
            instance[tag] = dataset[tag]
    image = opened(series, saying(json.dumps(told_of).encode()), values="suv")
    assert found_in(*documents(image.store), *spellings(image), *image.notices) == []


def test_person_names_as_text_do_not_show_either(opened: Opener) -> None:
    image = opened(series_of(ct()), saying(told("CT", names_as_text=True)))
    assert found_in(*documents(image.store), *spellings(image)) == []


def test_segmentations_that_come_along_do_not_show_it_either(opened: Opener) -> None:
    datasets_ = [*sources(), *seg()]
    url = opened.serve(datasets_, marking()).series_url(datasets_[0].StudyInstanceUID, datasets_[0].SeriesInstanceUID)
    image = dicomzarr.open(url, labels=True)
    assert len(image.labels) == 2
    assert found_in(*documents(image.store), *spellings(image), *datasets(url, image, labels=True)) == []


def test_labels_of_an_image_show_nothing_but_their_own(opened: Opener) -> None:
    image = open_marked(opened, "SEG")
    (first, *_) = json.loads(told("SEG"))
    labels = [item["00620005"]["Value"][0] for item in first["00620002"]["Value"]]
    text = b"".join(documents(image.store)).decode()
    assert [label for label in labels if label in text] == labels


# --- times


def test_times_are_told_as_differences(opened: Opener) -> None:
    image = open_marked(opened, "times")
    coordinates: Any = dicomzarr_attributes(image.plan)["coordinates"]
    assert coordinates["acquisition_time"]["values"] == pytest.approx([0, 1e-6, 2e-6, 3e-6])


@pytest.mark.parametrize("others", [{"EchoTime": ["5", "12"]}, {"TriggerTime": ["0", "40"], "EchoTime": ["5", "12"]}])
def test_times_that_are_one_of_several_dimensions_are_told_as_differences(
    opened: Opener, others: dict[str, list[object]]
) -> None:
    """On an axis with other attributes, in the names of channels, and where images are split."""
    differences = dimensions.product(*(dimensions.along(keyword, values) for keyword, values in others.items()))
    pixels = distinct((2 * len(differences), 2, 16, 20))
    series = dimensions.repeated(pixels, differences * 2)
    instances = metadata_of(series.datasets)
    for number, instance in enumerate(sorted(instances, key=lambda each: each["00200013"]["Value"][0])):
        instance["0008002A"] = {"vr": "DT", "Value": [f"{BIRTH}{TIME}.{number // len(differences):06}"]}
    image = opened(series, saying(json.dumps(instances).encode()))
    assert found_in(*documents(image.store), *spellings(image), *datasets(image.series_url, image)) == []


# --- code strings that are none


@pytest.mark.parametrize(
    "tag", ["00080060", "00280004", "00083002", "00080018", "00080016", "00209311", "00080008", "0020000D", "0020000E"]
)
def test_text_in_the_place_of_codes_and_uids_does_not_show(tag: str) -> None:
    for name in SERIES:
        instances = json.loads(plain(name))
        for number, instance in enumerate(instances):
            instance[tag] = {"vr": "CS", "Value": [f"{MARK}^Hidden {number}"]}
        assert found_in(*tried(name, instances)) == []


@pytest.mark.parametrize("words", [("HIDDENDOE JOHN",), ("HIDDEN", "PERSON"), (MARK.upper(),), (BIRTH,)])
def test_kinds_of_image_that_nobody_knows_tell_frames_apart_and_do_not_show(
    opened: Opener, words: tuple[str, ...]
) -> None:
    kinds = [["DERIVED", "PRIMARY", "DIXON", *words, kind] for kind in ("WATER", "FAT")]
    series = dimensions.repeated(distinct((2, 3, 16, 20)), dimensions.along("ImageType", kinds))
    image = opened(series)
    assert [channel.label.split()[-1] for channel in image.channels] == ["FAT", "WATER"]
    shown = " ".join(map(str, (*documents(image.store), *spellings(image), *datasets(image.series_url, image))))
    assert [word for word in " ".join(words).split() if word in shown] == []


# --- errors


def tried(name: str, instances: Instances) -> list[str]:
    """Documents of a series, whose metadata are these now, or all that its error says; without a server."""
    body, (first, *_) = json.dumps(instances).encode(), json.loads(plain(name))
    study, series = (first[tag]["Value"][0] for tag in ("0020000D", "0020000E"))
    try:
        plan = plan_images(parse_series(decode_instances(body), study, series))
        root = build_hierarchy(plan, {}, V3)
    except DicomZarrError as error:
        return list(all_of(error))
    return [repr(plan), *(text.decode() for _, node in nodes(root) for text in node.documents.values())]


def tags_of(*kinds: type[msgspec.Struct]) -> set[str]:
    """The attributes that are read."""
    return {field.encode_name for kind in kinds for field in msgspec.structs.fields(kind)} - SHOWN


def attributes_of(value: Any) -> Iterator[JSON]:
    """Every object that holds attributes, from the outermost in."""
    if isinstance(value, dict):
        if all(len(name) == 8 for name in value):
            yield value
        value = list(value.values())
    for member in value if isinstance(value, list) else ():
        yield from attributes_of(member)


@pytest.mark.parametrize("name", ["CT", "enhanced MR", "SEG", "slide"])
def test_no_error_quotes_a_text_in_the_place_of_anything_that_is_read(name: str) -> None:
    """Attribute by attribute, in an instance and in items of its sequences."""
    errors = 0
    for number, tag in enumerate(sorted(tags_of(InstanceItem, ImageItem, Macro, FrameGroups))):
        if f'"{tag}"' not in plain(name).decode() and name != "CT":
            continue
        changed = json.loads(plain(name))[:1]
        for holder in [each for each in attributes_of(changed) if tag in each] or changed:
            holder[tag] = {"vr": "UN", "Value": [f"{MARK}^Hidden", f"1{MARK}", "3"][: 1 + number % 3]}
        said = tried(name, changed)
        errors += "Error" in said[0]
        assert found_in(*said) == [], tag
    assert errors > 5


def test_an_error_on_opening_says_nothing_of_the_patient(opened: Opener) -> None:
    instances = json.loads(told("CT"))
    for instance in instances:
        instance["00280010"]["Value"] = [f"{MARK}^Hidden"]
    with overheard() as said, pytest.raises(DicomZarrError, match="Rows") as failed:
        opened(series_of(ct()), saying(json.dumps(instances).encode()))
    assert found_in(*all_of(failed.value), *said) == []


NO_JSON: Final = (b"{}", b'[{"00100010": ', b"[1]", b'[{"00280010": {"Value": ["\xff\xfe"]}}]')


@pytest.mark.usefixtures("tried_again_at_once")
@pytest.mark.parametrize("body", NO_JSON)
def test_an_error_about_json_quotes_none_of_it(opened: Opener, body: bytes) -> None:
    patient = f'[{{"00100010": {{"vr": "PN", "Value": ["{MARK}^Hidden"]}}}}, '.encode()
    for text in (body, patient + body, patient + body.replace(b"00280010", b"00080060") + f"{MARK}".encode()):
        with pytest.raises(DicomZarrError) as failed:
            opened(series_of(ct()), saying(text))
        assert found_in(*all_of(failed.value)) == []


def test_a_grid_error_says_nothing_of_the_patient(opened: Opener) -> None:
    doubled = metadata_of(volumes.duplicated(distinct((16, 20))).datasets)
    incomplete = metadata_of(dimensions.incomplete()[0].datasets)
    for number, instance in enumerate(incomplete):
        instance[IMAGE_TYPE]["Value"] += [f"{MARK}{number % 2}"]
    all_series = (volumes.duplicated(distinct((16, 20))), dimensions.incomplete()[0])
    for instances, series in zip((doubled, incomplete), all_series, strict=True):
        body = json.dumps(marked(instances)).encode()
        plain = [{**each, "0008002A": {"vr": "DT", "Value": [f"{BIRTH}{TIME}"]}} for each in instances]
        for text in (body, json.dumps(plain).encode()):
            with overheard() as said:
                try:
                    shown = list(map(str, documents(opened(series, saying(text)).store)))
                except GridError as error:
                    shown = list(all_of(error))
            assert found_in(*shown, *said) == []


PATIENT_TEXT: Final = f"No rights on patient {MARK}^Hidden, born {BIRTH}"


REFUSALS: Final = (
    *((400, "text/plain"), (401, "text/html"), (403, "application/json"), (404, "text/html"), (406, "text/plain")),
    *((429, "text/html"), (500, "text/plain"), (500, "text/html"), (503, "application/json")),
)


@pytest.mark.usefixtures("tried_again_at_once")
@pytest.mark.parametrize(("code", "content_type"), REFUSALS)
@pytest.mark.parametrize("resource", ["metadata", "frames"])
def test_what_a_server_says_of_its_error_is_not_repeated(
    opened: Opener, code: int, content_type: str, resource: str
) -> None:
    refused = [refuse(code, content_type, each) for each in (resource, "instances")]
    url = opened.url(series_of(ct()), *refused, saying(told("CT")))
    with overheard() as said, pytest.raises(DicomZarrError) as failed:
        pixels_of(dicomzarr.open(url))
    assert found_in(*all_of(failed.value), *said) == []


def refuse(code: int, content_type: str, resource: str) -> Middleware:
    """A refusal that says too much."""

    async def act(_request: web.Request, _handler: Handler) -> web.StreamResponse:
        headers = {"X-Patient": PATIENT_TEXT, "Warning": f'199 - "{PATIENT_TEXT}"'}
        return web.Response(
            status=code, reason=PATIENT_TEXT, text=PATIENT_TEXT, content_type=content_type, headers=headers
        )

    return fault(act, on=resource)


NO_WHOLE: Final = status(404, on="instances")

PARTS: Final[dict[str, Callable[[Part], Part]]] = {
    "text for a frame": lambda part: part.with_body(PATIENT_TEXT.encode()),
    "JPEG with a comment": lambda part: part.with_body(commented(PATIENT_TEXT)),
    "JSON for a frame": lambda part: part.with_header("Content-Type", "application/json"),
    "a type that says too much": lambda part: part.with_header(
        "Content-Type", f'image/jpeg; name="{PATIENT_TEXT}"'
    ).with_body(b"\0"),
    "a place that says too much": lambda part: part.with_header("Content-Location", f"/{MARK}/frames/99"),
    "another instance": lambda part: part.with_header("Content-Location", f"/instances/{MARK}.1/frames/1"),
    "a length that is none": lambda part: part.with_header("Content-Length", PATIENT_TEXT),
    "an encoding that is none": lambda part: part.with_header("Content-Transfer-Encoding", MARK),
}


def commented(text: str) -> bytes:
    """A JPEG that is cut off behind its comment."""
    comment = text.encode()
    return b"\xff\xd8\xff\xfe" + (len(comment) + 2).to_bytes(2, "big") + comment


@pytest.mark.usefixtures("tried_again_at_once")
@pytest.mark.parametrize("name", PARTS)
def test_an_error_about_a_frame_quotes_none_of_it(opened: Opener, name: str) -> None:
    def spoil(parts: tuple[Part, ...]) -> list[Part]:
        return [PARTS[name](part) for part in parts]

    image = open_marked(opened, "CT", NO_WHOLE, change_parts(spoil))
    with overheard() as said, pytest.raises(DicomZarrError) as failed:
        pixels_of(image)
    assert found_in(*all_of(failed.value), *said) == []


# --- HTML


def test_what_is_shown_as_html_is_escaped(opened: Opener) -> None:
    """Labels are the one text of a header that anybody may have written and that is shown."""
    instances = metadata_of(seg())
    for item in instances[0]["00620002"]["Value"]:
        item["00620005"]["Value"] = [SCRIPT]
    instances[0]["00080060"]["Value"] = [SCRIPT]
    instances[0][IMAGE_TYPE]["Value"] += [SCRIPT]
    image = opened(series_of(seg()), saying(json.dumps(instances).encode()))
    assert any(SCRIPT in channel.label for channel in image.channels)
    trees: list[Any] = [image.to_xarray(), *(each.to_xarray() for each in image.images)]
    for html in (image._repr_html_(), *(tree._repr_html_() for tree in trees)):
        assert "<script>alert" not in html
    assert SCRIPT not in image.name


def test_names_of_channels_reach_no_terminal_as_commands(opened: Opener, capsys: pytest.CaptureFixture[str]) -> None:
    instances = metadata_of(seg())
    for item in instances[0]["00620002"]["Value"]:
        item["00620005"]["Value"] = ["\x1b[31mLiver\x07\r\n"]
    url = opened.url(series_of(seg()), saying(json.dumps(instances).encode()))
    for form in ((), ("--json",)):
        assert cli.main(["info", url, *form]) == 0
        shown = capsys.readouterr()
        assert "Liver" in shown.out
        assert {"\x1b", "\x07", "\r"} & set(shown.out + shown.err) == set()
