"""The command line against servers in this process: output, exit codes, and what must never show."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import faults
import imagecodecs
import numpy as np
import pytest
import radiology_volumes as volumes
import slides
from aiohttp import web
from processes import piped
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian
from radiology_model import AXIAL, SAGITTAL, distinct
from radiology_opened import Opener
from radiology_volumes import volume
from serving import forget_servers, serving
from waiting import SECONDS

import dicomzarr
from dicomzarr.demo.archive import Archive
from dicomzarr.demo.server import DICOMwebServer
from dicomzarr.demo.show import COLOURFUL, measure_tissue
from dicomzarr.demo.slide import SERIES, STUDY, demo_files
from dicomzarr.faces.cli import main
from dicomzarr.faces.cli.measures import extent, spacing
from dicomzarr.faces.filters import as_dates
from dicomzarr.plan import Axis
from dicomzarr.sources.dicomweb.metadata.search import Results

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

    from aiohttp.typedefs import Handler, Middleware
    from orthanc import Orthanc
    from radiology_model import RadiologySeries

SECRET = "s3cret-p4ss"  # noqa: S105  # protects nothing
PYRAMID = slides.brightfield_pyramid()
STACK = slides.fluorescence_focal_stack()
EVIL = "\x1b[31mRED\x07[bold]\u202e\nnext"


@dataclass(frozen=True)
class Result:
    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        return json.loads(self.out)


Run = Callable[..., Result]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a command in this process, as if its output went to a file."""
    for name in ("FORCE_COLOR", "NO_COLOR", "COLUMNS", "DICOMZARR_PASSWORD"):
        monkeypatch.delenv(name, raising=False)

    def call(*words: object) -> Result:
        capsys.readouterr()
        code = main([str(word) for word in words])
        return Result(code, *capsys.readouterr())

    return call


@pytest.fixture(scope="module")
def server() -> Iterator[DICOMwebServer]:
    """The demo slide and two synthetic ones."""
    with DICOMwebServer(Archive([*demo_files(), *PYRAMID.datasets, *STACK.datasets])) as running:
        yield running
    forget_servers()


@pytest.fixture
def demo_url(server: DICOMwebServer) -> str:
    return server.series_url(STUDY, SERIES)


@pytest.fixture
def pyramid_url(server: DICOMwebServer) -> str:
    return server.series_url(PYRAMID.study_uid, PYRAMID.series_uid)


def assert_one_error(result: Result, code: int, *said: str) -> None:
    assert result.code == code
    assert result.out == ""
    assert result.err.startswith("dicomzarr: error: ")
    assert result.err.count("\n") == 1
    for text in said:
        assert text in result.err


def as_process(*words: object, **options: Any) -> AbstractContextManager[subprocess.Popen[str]]:
    program = "import sys; from dicomzarr.faces.cli import main; sys.exit(main())"
    command = [sys.executable, "-c", program, *map(str, words)]
    return piped(*command, **options)


def answer(on: str, *results: dict[str, Any]) -> Middleware:
    """A server whose every search finds the same."""

    async def act(_request: web.Request, _handler: Handler) -> web.StreamResponse:
        return web.json_response(list(results), content_type="application/dicom+json")

    return faults.fault(act, on)


# --- info ---


def test_info_tells_what_a_series_holds(run: Run, demo_url: str) -> None:
    result = run("info", demo_url)
    assert (result.code, result.err) == (0, "")
    for text in (demo_url, "SM · 1400 × 1600 pixels", "0.699 × 0.798 mm", "0.499 µm", "9.0 MB", "R  ● G  ● B"):  # noqa: RUF001  # as printed
        assert text in result.out
    assert "known at the first frame" in result.out
    assert "server " in result.out
    assert "folder " not in result.out
    arrays = [line.split()[0] for line in result.out.partition("Array ")[2].splitlines()[1:]]
    assert arrays == ["0", "1", "2", "3", "associated/thumbnail/0"]


def test_info_in_json(run: Run, pyramid_url: str) -> None:
    facts = run("info", pyramid_url, "--json").document
    assert set(facts) == {
        "url", "server", "study_instance_uid", "series_instance_uid", "modality", "bytes", "images", "associated",
        "notices",
    }  # fmt: skip
    assert facts["url"] == pyramid_url
    assert (facts["study_instance_uid"], facts["series_instance_uid"]) == (PYRAMID.study_uid, PYRAMID.series_uid)
    (image,) = facts["images"]
    assert [axis["name"] for axis in image["axes"]] == ["c", "y", "x"]
    assert image["axes"][1]["unit"] == "micrometer"
    assert [channel["label"] for channel in image["channels"]] == ["R", "G", "B"]
    for number, (level, expected) in enumerate(zip(image["levels"], PYRAMID.levels, strict=True)):
        assert level["path"] == str(number)
        assert level["shape"] == [3, *expected.pixels.shape[2:]]
        assert level["chunks"] == [3, *expected.tile]
        assert level["scale"] == pytest.approx([1, *(1000 * step for step in expected.spacing)])
        assert level["bytes"] == 3 * level["shape"][1] * level["shape"][2]
        assert level["dtype"] == "uint8"
        assert level["transfer_syntax_uid"] is None
    everything = [level["bytes"] for each in (*facts["images"], *facts["associated"]) for level in each["levels"]]
    assert facts["bytes"] == sum(everything)
    assert [each["path"] for each in facts["associated"]] == ["associated/overview", "associated/thumbnail"]
    assert any("label" in notice for notice in facts["notices"])


def test_info_asks_once_and_fetches_no_frame(run: Run) -> None:
    with serving(STACK) as served:
        result = run("info", served.url)
        assert [request.resource for request in served.server.requests] == ["metadata"]
    assert "2 planes" in result.out
    assert "1.5 × 0.4 × 0.5 µm" in result.out  # noqa: RUF001  # as printed
    assert "● Nuclei  ● Membrane  ● Cytoplasm" in result.out


def test_info_names_the_transfer_syntax_that_the_metadata_announces(run: Run) -> None:
    slide = slides.concatenation()
    for dataset in slide.datasets:
        dataset.AvailableTransferSyntaxUID = "1.2.840.10008.1.2.4.50"
    with serving(slide) as served:
        assert "JPEG Baseline (1.2.840.10008.1.2.4.50)\n" in run("info", served.url).out
        (image,) = run("info", served.url, "--json").document["images"]
    assert image["levels"][0]["transfer_syntax_uid"] == "1.2.840.10008.1.2.4.50"


def test_several_images_are_told_apart(run: Run) -> None:
    with serving(slides.two_pyramids()) as served:
        result = run("info", served.url)
    rows = [line.split() for line in result.out.splitlines()]
    assert [row[0] for row in rows if row and row[0] in {"0/0", "0/1", "1/0", "1/1"}] == ["0/0", "0/1", "1/0", "1/1"]
    assert " ".join(result.out.split()).count("! ") == 1  # why there are two


def told_of(run: Run, series: RadiologySeries) -> str:
    """What info prints of a series, on one line."""
    with Opener() as opened:
        return " ".join(run("info", opened.url(series)).out.split())


def test_info_says_what_uneven_slices_are(run: Run) -> None:
    told = told_of(run, volumes.uneven([0, 2.5, 4, 9, 10], volumes.VOLUME))
    assert "5 planes" in told
    assert "z 40.75, 43.25, 44.75, 49.75, 50.75 mm along z" in told
    assert "! The 5 slices are not evenly spaced (1 to 5 mm apart): z counts them" in told
    assert "plane_affine" in told


def test_info_says_how_a_volume_lies(run: Run) -> None:
    assert "orientation sagittal: z to the right, y to the feet, x to the back (x y z: PIR)" in told_of(
        run, volumes.volume(SAGITTAL)
    )
    assert "orientation" not in told_of(run, volumes.secondary_capture(volumes.VOLUME[0]))


def test_info_says_what_values_measure(run: Run) -> None:
    told = told_of(run, volumes.volume())
    assert 'values values in HU: stored values - 1024, or values="modality"' in told
    told = told_of(run, volumes.pet(volumes.VOLUME, [1, 2, 3, 4, 5]))
    assert "slopes differ from slice to slice" in told


def test_info_says_what_a_list_is(run: Run) -> None:
    series = volumes.volume()
    for dataset in series.datasets:
        dataset.InstanceNumber = 1
        dataset.ImagePositionPatient = series.datasets[0].ImagePositionPatient
    told = told_of(run, series)
    assert "CT: list of frames CT · list of frames of single-frame instances" in told
    assert "5 frames" in told
    assert "time points" not in told
    assert "position 5 values in mm along t" in told
    assert "! Nothing tells what the 5 frames of an image are to each other" in told


def test_info_takes_the_url_that_a_server_shows(run: Run, demo_url: str) -> None:
    shown = demo_url.replace("dicomweb://", "http://")
    assert run("info", shown).out == run("info", demo_url).out


def test_info_never_shows_who_the_patient_is(run: Run, pyramid_url: str) -> None:
    text = run("info", pyramid_url).out + run("info", pyramid_url, "--json").out
    assert [phi for phi in slides.PHI if phi in text] == []


def test_info_does_without_dask_and_xarray(demo_url: str) -> None:
    script = (
        f"import sys; from dicomzarr.faces.cli import main; code = main(['info', {demo_url!r}]);"
        "print([m for m in ('dask', 'xarray', 'zarr', 'pandas') if m in sys.modules], code, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)  # noqa: S603  # our own
    assert done.stderr == "[] 0\n"


def test_help_is_quick(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"dicomzarr {dicomzarr.__version__}\n"
    for command in ("info", "ls", "thumbnail", "demo"):
        with pytest.raises(SystemExit) as ended:
            main([command, "--help"])
        assert ended.value.code == 0
        assert f"usage: dicomzarr {command}" in capsys.readouterr().out
    script = "import sys, dicomzarr.faces.cli; print([m for m in ('numpy', 'aiohttp', 'pydicom') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)  # noqa: S603  # our own
    assert done.stdout == "[]\n"


# --- ls ---


def test_ls_of_a_server_lists_studies(run: Run, server: DICOMwebServer) -> None:
    for url in (server.url, f"{server.url}/", f"{server.url}/studies"):
        lines = run("ls", url).out.splitlines()
        assert lines[0].split() == ["Study", "Modalities", "Series", "Instances"]
        assert [line.split() for line in lines[1:]] == [
            [STUDY, "SM", "1", "5"],
            [PYRAMID.study_uid, "SM", "1", "7"],
            [STACK.study_uid, "SM", "1", "2"],
        ]


def test_ls_of_a_study_lists_series(run: Run, server: DICOMwebServer) -> None:
    for url in (f"{server.url}/studies/{STACK.study_uid}", f"{server.url}/studies/{STACK.study_uid}/series"):
        lines = run("ls", url).out.splitlines()
        assert [line.split() for line in lines] == [
            ["Series", "Modality", "Number", "Instances"],
            [STACK.series_uid, "SM", "1", "2"],
        ]


def test_ls_in_json(run: Run, server: DICOMwebServer) -> None:
    document = run("ls", server.url, "--json").document
    assert (document["kind"], document["offset"], document["limit"], document["more"]) == ("studies", 0, 50, False)
    assert document["results"][1] == {
        "study_instance_uid": PYRAMID.study_uid,
        "modalities": ["SM"],
        "series": 1,
        "instances": 7,
        "url": server.series_url(PYRAMID.study_uid, "").removesuffix("/series/"),
    }
    (series,) = run("ls", document["results"][1]["url"], "--json").document["results"]
    assert series == {
        "series_instance_uid": PYRAMID.series_uid,
        "modality": "SM",
        "series_number": 1,
        "instances": 7,
        "url": server.series_url(PYRAMID.study_uid, PYRAMID.series_uid),
    }


def test_ls_names_patients_only_when_asked(run: Run, server: DICOMwebServer) -> None:
    study = f"{server.url}/studies/{PYRAMID.study_uid}"
    for url in (server.url, study):
        text = run("ls", url).out + run("ls", url, "--json").out
        assert [phi for phi in (*slides.PHI, "20200102", "DEMO") if phi in text] == []
    assert "Hidden^Person  PATIENT-4711  20200102" in run("ls", server.url, "--phi").out
    document = run("ls", server.url, "--phi", "--json").document
    assert document["results"][0]["patient_name"] == "DEMO^SLIDE"
    assert document["results"][0]["study_description"] == "dicomzarr demo"


def test_ls_filters(run: Run, server: DICOMwebServer) -> None:
    def found(*options: str) -> list[str]:
        results = run("ls", server.url, "--json", *options).document["results"]
        return [result["study_instance_uid"] for result in results]

    assert len(found("--modality", "SM")) == 3
    assert found("--patient-id", "DEMO-SLIDE") == [STUDY]
    for date in ("20200102", "2020-01-02", "2020/01/02"):
        assert found("--study-date", date) == [PYRAMID.study_uid, STACK.study_uid]
    assert found("--match", "StudyDate=2020-01-02") == [PYRAMID.study_uid, STACK.study_uid]
    assert found("--match", "PatientName=DEMO*", "--match", "00200010=1") == [STUDY]
    assert found("--modality", "CT") == []


@pytest.mark.parametrize("value", ["WILD?ARD-1", "WILD*", "*CARD-1", "????????-?"])
def test_ls_finds_by_wildcards_on_orthanc(run: Run, orthanc: Orthanc, value: str) -> None:
    (dataset, *_) = volume(name="wildcards").datasets
    dataset.PatientID = "WILDCARD-1"
    orthanc.load([dataset])
    found = run("ls", f"http://127.0.0.1:{orthanc.port}/dicom-web", "--patient-id", value, "--json")
    assert dataset.StudyInstanceUID in [each["study_instance_uid"] for each in found.document["results"]]


@pytest.mark.parametrize("command", ["info", "ls"])
def test_a_url_may_be_pasted_as_it_comes(run: Run, server: DICOMwebServer, command: str) -> None:
    url = server.series_url(PYRAMID.study_uid, PYRAMID.series_uid)
    text = f" <{url.replace('/series', chr(10) + '  /series')}>\n"
    assert run(command, text, "--json").document == run(command, url, "--json").document


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("2020.01.02", "20200102"),
        ("20200102-20200203", "20200102-20200203"),
        ("2020-01-02-2020-02-03", "20200102-20200203"),
        (" 2020/01/02 - 20200203 ", "20200102-20200203"),
        ("2020-01-02-", "20200102-"),
        ("-2020-01-02", "-20200102"),
    ],
)
def test_dates_as_people_write_them(text: str, wanted: str) -> None:
    assert as_dates(text) == wanted


def test_ls_that_finds_nothing_says_so(run: Run, server: DICOMwebServer) -> None:
    result = run("ls", server.url, "--modality", "CT")
    assert (result.code, result.out, result.err) == (0, "", "No study matches.\n")
    result = run("ls", f"{server.url}/studies/{STUDY}", "--modality", "CT")
    assert (result.code, result.out, result.err) == (0, "", "No series matches.\n")


def test_ls_of_files_without_dicom_says_what_was_left_out(run: Run, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("a letter")
    result = run("ls", tmp_path)
    assert (result.code, result.out) == (0, "")
    assert result.err == "No series matches.\n1 file was left out (no DICOM): notes.txt.\n"


def test_ls_of_files_takes_filters_of_studies(run: Run, tmp_path: Path) -> None:
    volume(AXIAL, distinct((2, 8, 9)), PatientID="P7", StudyDate="20260105").write(tmp_path)
    assert "No series" not in run("ls", tmp_path, "--patient-id", "P7", "--study-date", "2026-01-05").err
    assert run("ls", tmp_path, "--patient-id", "P8").err == "No series matches.\n"
    assert run("ls", tmp_path, "--study-date", "-20251231").err == "No series matches.\n"


def test_ls_takes_a_modality_in_small_letters(run: Run, server: DICOMwebServer) -> None:
    assert run("ls", server.url, "--modality", "sm").out == run("ls", server.url).out != ""


def test_a_person_is_told_how_to_go_on(run: Run, server: DICOMwebServer, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "Go on" not in run("ls", server.url).err
    monkeypatch.setenv("FORCE_COLOR", "1")
    (study,) = re.findall(r"dicomzarr ls ([^\s\x1b]+)", run("ls", server.url).err)
    assert f"dicomzarr info {study}/series/" in run("ls", study).err


def test_ls_pages(run: Run, server: DICOMwebServer) -> None:
    first = run("ls", server.url, "--json", "--limit", 2)
    assert first.document["more"] is True
    assert "--offset 2 shows the next" in first.err
    second = run("ls", server.url, "--json", "--limit", 2, "--offset", 2)
    assert (second.document["more"], second.document["offset"], second.err) == (False, 2, "")
    seen = [result["study_instance_uid"] for page in (first, second) for result in page.document["results"]]
    assert seen == [STUDY, PYRAMID.study_uid, STACK.study_uid]


def test_skipped_results_count_on_every_page() -> None:
    results = Results("studies", 300, skipped=10)
    assert results.page({}) == {"limit": "200", "offset": "10"}
    page = [{"0020000D": {"Value": [f"1.{number}"]}} for number in range(200)]
    assert results.add(page, may_be_cut=True)
    assert results.page({}) == {"limit": "100", "offset": "210"}


def test_ls_tells_when_a_server_ignores_a_filter(run: Run) -> None:
    study = {"0020000D": {"vr": "UI", "Value": ["1.2"]}, "00080061": {"vr": "CS", "Value": ["CT"]}}
    with serving(STACK, answer("studies", study)) as served:
        result = run("ls", served.server.url, "--modality", "SM")
        assert run("ls", served.server.url, "--modality", "ct").err == ""
    assert result.code == 0
    assert result.err == "The server ignored the filter ModalitiesInStudy: not all of these match it.\n"


def test_ls_of_poor_results(run: Run) -> None:
    poor = {"0020000D": {"vr": "UI"}, "00201206": {"vr": "IS", "Value": ["many"]}, "00080061": {"Value": [None]}}
    with serving(STACK, answer("studies", poor)) as served:
        (row,) = run("ls", served.server.url, "--json").document["results"]
    assert row == {"study_instance_uid": None, "modalities": [], "series": None, "instances": None, "url": None}


@pytest.mark.parametrize("level", ["studies", "series"])
@pytest.mark.parametrize(
    ("odd", "value"),
    [
        ({"vr": "CS", "Value": None}, None),
        ({"vr": "CS", "Value": "CT"}, "CT"),
        ({"vr": "CS", "Value": {}}, None),
        ({"vr": "CS", "Value": [["CT"]]}, None),
        (None, None),
        ([], None),
        ("CT", None),
    ],
)
def test_ls_of_results_with_an_odd_attribute(run: Run, level: str, odd: Any, value: str | None) -> None:
    tag, key, uid = (
        ("00080061", "modalities", "0020000D") if level == "studies" else ("00080060", "modality", "0020000E")
    )
    entry = {uid: {"vr": "UI", "Value": ["1.2"]}, tag: odd}
    with serving(STACK, answer(level, entry)) as served:
        url = served.server.url + ("" if level == "studies" else "/studies/1.2")
        (row,) = run("ls", url, "--json").document["results"]
    assert row["url"]
    assert row[key] == (value if level == "series" else [value] if value else [])


def test_ls_of_a_study_that_is_absent(run: Run, server: DICOMwebServer) -> None:
    assert_one_error(run("ls", f"{server.url}/studies/1.2.3"), 1, "1.2.3")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--match", "NoSuchThing=1"), "NoSuchThing"),
        (("--match", "PatientID"), "Attribute=value"),
        (("--modality", "SM", "--match", "00080061=CT"), "matched twice"),
        (("--study-date", "2020-13-01"), "is no date"),
        (("--study-date", "2020*"), "is no date"),
        (("--study-date", "20200131-20190101"), "ends before it begins"),
        (("--match", "StudyDate=2020-01-31 - 2020-01-30"), "ends before it begins"),
        (("--study-date", "-"), "is no date"),
        (("--match", "StudyDate=yesterday"), "is no date"),
        (("--limit", "0"), "from 1 to"),
        (("--offset", "-1"), "--offset"),
    ],
)
def test_ls_refuses_what_cannot_be_meant(run: Run, server: DICOMwebServer, options: tuple[str, ...], said: str) -> None:
    assert_one_error(run("ls", server.url, *options), 2, said)


def test_ls_of_a_study_takes_no_filter_for_studies(run: Run, server: DICOMwebServer) -> None:
    assert_one_error(run("ls", f"{server.url}/studies/{STUDY}", "--patient-id", "X"), 2, "--patient-id")


def test_ls_of_a_series_lists_its_hierarchy(run: Run, pyramid_url: str) -> None:
    result = run("ls", pyramid_url)
    names = [line.split()[:2] for line in result.out.splitlines()[1:]]
    assert names == [["zarr.json", "file"], *([str(n), "directory"] for n in range(4)), ["associated", "directory"]]
    below = run("ls", f"{pyramid_url}/associated", "--json").document
    assert below["kind"] == "keys"
    assert [entry["name"] for entry in below["results"]] == ["zarr.json", "overview", "thumbnail"]
    assert below["results"][1]["url"] == f"{pyramid_url}/associated/overview"
    (one,) = run("ls", f"{pyramid_url}/zarr.json", "--json").document["results"]
    assert (one["name"], one["type"]) == ("zarr.json", "file")


def test_ls_below_a_series_that_is_absent_or_of_a_key_that_is(run: Run, server: DICOMwebServer, demo_url: str) -> None:
    assert_one_error(run("ls", server.series_url(STUDY, "1.2.3")), 1, "404", "1.2.3")
    assert_one_error(run("ls", f"{demo_url}/17"), 2, "nothing at", "/17")
    assert_one_error(run("ls", demo_url, "--modality", "SM", "--phi"), 2, "--modality, --phi")


# --- certificates ---


@pytest.mark.parametrize("option", ["--ca", "--cert"])
def test_a_certificate_that_is_not_there_is_said_of_folders_too(run: Run, tmp_path: Path, option: str) -> None:
    for command in ("ls", "info"):
        result = run(command, tmp_path, option, tmp_path / "nope.pem")
        assert result.code != 0
        assert f"nope.pem, which {option} names" in result.err.replace("\n", " ")


def test_the_key_of_a_certificate_that_is_not_there_is_said(run: Run, tmp_path: Path) -> None:
    (tmp_path / "own.pem").touch()
    result = run("ls", tmp_path, "--cert", f"{tmp_path / 'own.pem'},{tmp_path / 'own.key'}")
    assert result.code != 0
    assert "own.key, which --cert names" in result.err.replace("\n", " ")


# --- thumbnail ---


def test_thumbnail_is_what_the_image_gives(run: Run, demo_url: str, tmp_path: Path) -> None:
    path = tmp_path / "out.png"
    result = run("thumbnail", demo_url, path, "--size", 100)
    assert (result.code, result.out) == (0, "")
    assert "88 × 100 pixels" in result.err  # noqa: RUF001  # as printed
    written = imagecodecs.png_decode(path.read_bytes())
    assert np.array_equal(written, dicomzarr.open(demo_url).thumbnail(100))
    assert written.shape == (100, 88, 3)


def test_thumbnail_of_one_pixel_is_one(run: Run, demo_url: str, tmp_path: Path) -> None:
    assert run("thumbnail", demo_url, tmp_path / "out.png", "--size", 1).code == 0
    assert imagecodecs.png_decode((tmp_path / "out.png").read_bytes()).shape[:2] == (1, 1)


def test_thumbnail_counts_frames_for_those_who_look_on(
    demo_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Looked(io.StringIO):
        def isatty(self) -> bool:
            return True

    err = Looked()
    monkeypatch.setattr(sys, "stderr", err)
    monkeypatch.setenv("TERM", "xterm")
    assert main(["thumbnail", demo_url, str(tmp_path / "out.png")]) == 0
    assert re.search(r"(\d+) of \1 frames", err.getvalue())


def test_thumbnail_of_an_associated_image(run: Run, pyramid_url: str, tmp_path: Path) -> None:
    for name in ("overview", "label"):
        path = tmp_path / f"{name}.png"
        assert run("thumbnail", pyramid_url, path, "--image", f"associated/{name}").code == 0
        expected = np.moveaxis(PYRAMID.associated[name][:, 0], 0, -1)
        difference = abs(imagecodecs.png_decode(path.read_bytes()).astype(int) - expected)
        assert difference.max() <= PYRAMID.tolerance


def test_thumbnail_of_one_of_several_images(run: Run, tmp_path: Path) -> None:
    slide = slides.two_pyramids()
    with serving(slide) as served:
        for path in ("0", "1"):
            assert run("thumbnail", served.url, tmp_path / f"{path}.png", "--size", 100, "--image", path).code == 0
    for number, image in enumerate(slide.images):
        written = imagecodecs.png_decode((tmp_path / f"{number}.png").read_bytes())
        assert np.array_equal(written, np.moveaxis(image.levels[0].pixels[:, 0], 0, -1))


def test_thumbnail_overwrites_only_by_force(run: Run, demo_url: str, tmp_path: Path) -> None:
    path = tmp_path / "out.png"
    path.write_text("precious")
    assert_one_error(run("thumbnail", demo_url, path), 2, "exists", "--force")
    assert path.read_text() == "precious"
    assert run("thumbnail", demo_url, path, "--force", "--size", 20).code == 0
    assert imagecodecs.png_decode(path.read_bytes()).shape == (20, 18, 3)


def test_thumbnail_that_can_go_nowhere(run: Run, server: DICOMwebServer, demo_url: str, tmp_path: Path) -> None:
    before = len(server.requests)
    missing = tmp_path / "missing" / "out.png"
    assert_one_error(run("thumbnail", demo_url, missing), 2, "no folder", str(missing.parent))
    assert_one_error(run("thumbnail", demo_url, tmp_path / "out.jpg"), 2, ".png")
    assert len(server.requests) == before
    (tmp_path / "folder.png").mkdir()
    assert_one_error(run("thumbnail", demo_url, tmp_path / "folder.png", "--force"), 2, "cannot be written")


def test_thumbnail_of_an_image_that_is_absent(run: Run, pyramid_url: str, tmp_path: Path) -> None:
    result = run("thumbnail", pyramid_url, tmp_path / "out.png", "--image", "associated/barcode")
    assert_one_error(result, 2, "It has /, associated/overview, associated/thumbnail.")
    assert list(tmp_path.iterdir()) == []


def test_thumbnail_of_frames_that_fail_writes_nothing(run: Run, tmp_path: Path) -> None:
    with serving(STACK, faults.status(403)) as served:
        assert_one_error(run("thumbnail", served.url, tmp_path / "out.png"), 1, "403")
    assert list(tmp_path.iterdir()) == []


# --- demo ---


def test_demo(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for _ in range(2):  # its own file is overwritten
        result = run("demo")
        assert (result.code, result.err) == (0, "")
    assert "51.6% of level 0" in result.out
    assert "└── thumbnail" in result.out
    assert "dicomzarr ls https://" in result.out
    path = tmp_path / "dicomzarr-demo.png"
    assert str(path) in result.out
    assert imagecodecs.png_decode(path.read_bytes()).shape == (512, 448, 3)


def test_demo_does_not_overwrite_a_file_that_one_names(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "mine.png"
    path.write_text("precious")
    assert_one_error(run("demo", "--output", path), 2, "exists")
    assert path.read_text() == "precious"


def test_tissue_is_counted_per_tile(demo_url: str) -> None:
    level = dicomzarr.open(demo_url).levels[1]
    tissue = measure_tissue(level)
    pixels = level[...].astype(int)
    expected = pixels.max(axis=0) - pixels.min(axis=0) > COLOURFUL
    assert tissue.whole == pytest.approx(expected.mean())
    assert tissue.tiles.shape == (4, 3)
    assert tissue.tiles[3, 2] == pytest.approx(expected[768:, 512:].mean())
    assert tissue.tiles[1, 0] == pytest.approx(expected[256:512, :256].mean())


# --- credentials ---


def test_password_from_the_environment(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(STACK, faults.require_basic("bob", SECRET)) as served:
        assert_one_error(run("info", served.url), 1, "401", "--user NAME")
        assert_one_error(run("info", served.url, "--user", "bob"), 2, "DICOMZARR_PASSWORD")
        monkeypatch.setenv("DICOMZARR_PASSWORD", "wrong-" + SECRET)
        wrong = run("info", served.url, "--user", "bob")
        assert_one_error(wrong, 1, "401", "--bearer-env")
        assert SECRET not in wrong.err
        monkeypatch.setenv("DICOMZARR_PASSWORD", SECRET)
        assert run("info", served.url, "--user", "bob").code == 0
        assert run("ls", served.server.url, "--user", "bob").code == 0


def test_password_in_the_url_is_never_shown(run: Run, tmp_path: Path) -> None:
    with serving(STACK, faults.require_basic("bob", SECRET)) as served:
        url = served.url.replace("://", f"://bob:{SECRET}@")
        commands = [
            ("info", url), ("info", url, "--json"), ("info", f"{url}/0"), ("info", url, "too", url),
            ("ls", url), ("ls", url, "--json"), ("ls", url.partition("/studies")[0], "--json"), ("ls", f"{url}/9"),
            ("thumbnail", url, tmp_path / "out.png"), ("info", url.replace("bob", "eve"), "--debug"),
            ("info", url.replace("127.0.0.1", "host.invalid")), (url,), ("info", "--limit", url), ("show", url),
        ]  # fmt: skip
        results = [run(*command) for command in commands]
    assert [result.code for result in results] == [0, 0, 2, 2, 0, 0, 0, 2, 0, 1, 2, 2, 2, 2]
    assert [result for result in results if SECRET in result.out + result.err] == []


def test_bearer_token_from_a_variable(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THE_TOKEN", SECRET)
    with serving(STACK, faults.require_bearer(SECRET)) as served:
        assert run("info", served.url, "--bearer-env", "THE_TOKEN").code == 0
        assert run("info", served.url, "--header", f"authorization: Bearer {SECRET}").code == 0
        assert_one_error(run("info", served.url, "--bearer-env", "NO_TOKEN"), 2, "NO_TOKEN")


def test_headers_travel(run: Run) -> None:
    with serving(STACK) as served:
        words = ("--header", "X-Api-Key: a: b", "--header", "X-Other:c")
        assert run("ls", served.url, *words).code == 0
        (request,) = served.server.requests
        assert (request.headers["X-Api-Key"], request.headers["X-Other"]) == ("a: b", "c")
        wrong = run("ls", served.url, "--header", SECRET)
        assert_one_error(wrong, 2, "'Name: value'")
        assert SECRET not in wrong.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--user", "bob", "--bearer-env", "HOME"), "--user and --bearer-env"),
        (("--user", f"bob:{SECRET}"), "colon"),
        (("--bearer-env", "HOME", "--header", f"Authorization: {SECRET}"), "given twice"),
        (("--timeout", "0"), "timeout"),
        (("--header", "X-Api-Key:", SECRET), "1 word too many"),
    ],
)
def test_credentials_that_cannot_be_meant(run: Run, demo_url: str, words: tuple[str, ...], said: str) -> None:
    result = run("info", demo_url, *words)
    lines = result.err.splitlines(keepends=True)
    assert_one_error(replace(result, err="".join(line for line in lines if not line.startswith("Note:"))), 2, said)
    assert SECRET not in result.err


def test_credentials_do_not_travel_in_the_clear(run: Run) -> None:
    result = run("info", "dicomweb://archive.example/studies/1/series/2", "--header", f"X-Caller: {SECRET}")
    assert_one_error(result, 2, "archive.example", "--insecure")


def test_secrets_on_the_command_line_are_told_of_once(run: Run) -> None:
    with serving(STACK, faults.require_basic("bob", SECRET)) as served:
        url = served.url.replace("://", f"://bob:{SECRET}@")
        told = run("info", url).err
        assert run("info", served.url.replace("://", "://bob@")).err.count("Note:") == 0
    with serving(STACK, faults.require_bearer(SECRET)) as served:
        told += run("info", served.url, "--header", f"Authorization: Bearer {SECRET}", "--header", "X-Key: 1").err
    assert told.count("Note: whoever lists the processes") == 2
    assert "the password in the URL" in told
    assert "the header Authorization" in told
    assert SECRET not in told


def test_a_bound_can_be_changed(run: Run) -> None:
    with serving(STACK) as served:
        assert run("info", served.url, "--bound", "frame_bytes=1000").code == 0
        assert_one_error(run("info", served.url, "--bound", "json_bytes=10"), 1, "10 bytes")
        assert_one_error(run("info", served.url, "--bound", "frames=1"), 2, "frame_bytes")
        assert_one_error(run("info", served.url, "--bound", "frames"), 2, "NAME=NUMBER")


# --- errors ---


def test_series_that_cannot_be_had(run: Run, server: DICOMwebServer) -> None:
    assert_one_error(run("info", server.series_url(STUDY, "1.2.3")), 1, "404", "1.2.3")
    with socket.socket() as reserved:  # a port that nobody listens on
        reserved.bind(("127.0.0.1", 0))
        url = f"dicomweb://127.0.0.1:{reserved.getsockname()[1]}/studies/1/series/2"
        assert_one_error(run("info", url), 1, "No connection to 127.0.0.1")


def test_series_that_is_no_image(run: Run) -> None:
    report = Dataset()
    report.file_meta = FileMetaDataset()
    report.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    report.SOPClassUID = "1.2.840.10008.5.1.4.1.1.88.11"
    report.StudyInstanceUID, report.SeriesInstanceUID, report.SOPInstanceUID = "1.2", "1.2.3", "1.2.3.4"
    report.Modality = "SR"
    with DICOMwebServer(Archive([report])) as running:
        result = run("info", running.series_url("1.2", "1.2.3"))
    forget_servers()
    assert_one_error(result, 1, "1.2.3", "no pixels")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "dicomzarr demo"),
        (("open",), "'open'"),
        (("info",), "URL"),
        (("info", "dicomweb://h/studies/1/series/2", "--jsn"), "Did you mean --json?"),
        (("info", "not-a-url"), "scheme"),
        (("info", "dicomwebs://h/dicom-web"), "dicomzarr ls dicomwebs://h/dicom-web"),
        (("info", "dicomwebs://h/studies/x"), "no study UID"),
        (("thumbnail", "dicomwebs://h/studies/1/series/2", "a.png", "--size", "big"), "whole number"),
    ],
)
def test_what_cannot_be_meant(run: Run, words: tuple[str, ...], said: str) -> None:
    assert_one_error(run(*words), 2, said)


@pytest.mark.parametrize("switch", ["--p", "--ph", "--insecur"])
def test_no_switch_that_shows_or_sends_secrets_is_guessed(run: Run, switch: str) -> None:
    result = run("ls", "dicomweb://h/studies", switch)
    assert result.code == 2
    assert f"ls has no option {switch}" in result.err
    assert "--phi" not in result.err
    assert "--insecure" not in result.err


def test_debug_shows_where_an_error_comes_from(run: Run, server: DICOMwebServer) -> None:
    result = run("info", server.series_url(STUDY, "1.2.3"), "--debug")
    assert result.code == 1
    assert "Traceback" in result.err
    assert result.err.splitlines()[-1].startswith("dicomzarr: error: ")


def test_timeout(run: Run) -> None:
    with serving(STACK, faults.delay(2, on="metadata")) as served:
        assert_one_error(run("info", served.url, "--timeout", "0.1"), 1, "Raise --timeout")


# --- terminals ---


def test_a_server_cannot_write_to_the_terminal(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    study = {"0020000D": {"vr": "UI", "Value": [EVIL]}, "00080061": {"vr": "CS", "Value": [EVIL, "SM\x9b2J"]}}
    slide = slides.fluorescence_focal_stack()
    for dataset in slide.datasets:
        dataset.OpticalPathSequence[0].OpticalPathDescription = EVIL
    with serving(slide, answer("studies", study)) as served:
        shown = [run("ls", served.server.url), run("info", served.url)]
        exact = run("ls", served.server.url, "--json")
        monkeypatch.setenv("NO_COLOR", "1")
        monkeypatch.setenv("FORCE_COLOR", "1")
        shown += [run("ls", served.server.url), run("info", served.url)]
    for result in shown:
        assert "[31mRED[bold] next" in result.out
        assert "\x1b[31m" not in result.out
        assert [char for char in "\x07\x9b\u202e" if char in result.out] == []
    assert exact.out.isascii()
    assert exact.document["results"][0]["study_instance_uid"] == EVIL


def test_colours_are_for_terminals(run: Run, demo_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = run("info", demo_url).out
    assert "\x1b" not in plain
    assert [line for line in plain.splitlines() if line != line.rstrip()] == []
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "100")
    assert "\x1b[1;36mslide" in run("info", demo_url).out
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[1;36m" not in run("info", demo_url).out


def test_uids_stay_whole_on_narrow_terminals(run: Run, server: DICOMwebServer, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"FORCE_COLOR": "1", "NO_COLOR": "1", "COLUMNS": "60"}.items():
        monkeypatch.setenv(name, value)
    out = run("ls", server.url, "--phi").out
    assert PYRAMID.study_uid in out
    assert "SM · Series 1 · Instances 7 · Hidden^Person · PATIENT-4711 · 20200102" in out


@pytest.mark.slow
def test_output_in_an_encoding_that_lacks_characters(demo_url: str) -> None:
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    with as_process("info", demo_url, env=environment) as process:
        out, err = process.communicate(timeout=SECONDS)
    assert (process.returncode, err) == (0, "")
    assert "0.499 ?m" in out


def test_interrupt(tmp_path: Path) -> None:
    slow = faults.delay(SECONDS, on="frames")
    with serving(STACK, slow) as served, as_process("thumbnail", served.url, tmp_path / "out.png") as process:
        while not served.count("frames"):
            assert process.poll() is None
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=SECONDS) == ("", "dicomzarr: interrupted\n")
    assert process.returncode == 130
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["rich.console", "dicomzarr.errors", "numpy"])
def test_an_interrupt_while_modules_are_imported_is_one_line(name: str) -> None:
    """Whatever the command line imports, it is interrupted there."""
    program = f"""
import os, signal, sys

class Finder:
    def find_spec(self, found, *_):
        if found == {name!r}:
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Finder())
from dicomzarr.faces.cli import main
sys.exit(main(["info", "http://127.0.0.1:9/studies/1.2/series/1.3"]))
"""
    with piped(sys.executable, "-c", program) as process:
        assert process.communicate(timeout=SECONDS) == ("", "dicomzarr: interrupted\n")
    assert process.returncode == 130


@pytest.mark.slow
def test_broken_pipe(demo_url: str) -> None:
    with as_process("info", demo_url) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == ""
        assert process.wait(SECONDS) == 141


def test_the_console_script_is_installed() -> None:
    script = Path(sys.executable).with_name("dicomzarr")
    if not script.exists():
        pytest.skip("the package is not installed as a distribution")
    done = subprocess.run([script, "--version"], capture_output=True, text=True, check=True)  # noqa: S603  # our own
    assert done.stdout == f"dicomzarr {dicomzarr.__version__}\n"


def test_measures() -> None:
    y, x, z = (Axis(name, "space", "millimeter") for name in "yxz")
    t, c = Axis("t", "time", "millisecond"), Axis("c", "channel")
    assert spacing((t, c, z, y, x), (50, 1, 5, 0.7, 0.7)) == "50 ms, 5 × 0.7 × 0.7 mm"  # noqa: RUF001  # as printed
    assert spacing((y, x), (0.7, 0.7)) == "0.7 mm"
    assert spacing((Axis("y", "space"), Axis("x", "space")), (1, 1)) == "none"
    assert extent((y, x), (512, 256), (0.5, 0.5)) == "128 × 256 mm"  # noqa: RUF001  # as printed
    assert extent((Axis("y", "space"), Axis("x", "space")), (2, 2), (1, 1)) == ""
    small = (Axis("y", "space", "micrometer"), Axis("x", "space", "micrometer"))
    assert extent(small, (100, 50), (0.5, 0.5)) == "25 × 50 µm"  # noqa: RUF001  # as printed
