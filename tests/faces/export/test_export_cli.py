"""``dicomzarr export`` on the command line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import slides
from exports import assert_same_store
from folders import write
from opened import group_at
from radiology_model import AXIAL, distinct
from radiology_opened import Opener, pixels_of
from radiology_volumes import volume
from serving import serving

import dicomzarr
from dicomzarr.faces.cli import main

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def opened() -> Iterator[Opener]:
    with Opener() as opener:
        yield opener


def run(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str]:
    code = main(["export", *map(str, words)])
    out, said = capsys.readouterr()
    assert not out
    return code, said


def test_a_series_is_exported_and_said_in_one_line(
    opened: Opener, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image = opened(volume(AXIAL, distinct((4, 16, 20))))
    out = tmp_path / "out.zarr"
    code, said = run(capsys, image.series_url, out)
    assert code == 0
    assert said == f"{out}: 2.6 kB of pixels in 1 array, read again and compared\n"
    assert_same_store(image, out)
    code, said = run(capsys, image.series_url, out)
    assert code == 2
    assert said.startswith("dicomzarr: error: There is something at the target already.")
    assert run(capsys, image.series_url, out, "--force")[0] == 0


def test_options_choose_what_is_taken(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with serving(slides.brightfield_pyramid()) as served:
        out = tmp_path / "out.zarr"
        words = ("--levels", "0,1", "--region", "x=10:60", "--region", "y=5:40", "--shard", 2, "--compression", "none")
        assert run(capsys, served.url, out, *words)[0] == 0
        image = dicomzarr.open(served.url)
        assert np.array_equal(group_at(out)["0"][...], image.levels[0][:, 5:40, 10:60])
        assert "2" not in group_at(out)
        assert run(capsys, served.url, tmp_path / "1.zarr", "--image", "associated/overview")[0] == 0
        assert np.array_equal(group_at(tmp_path / "1.zarr")["0"][...], image.associated["overview"].levels[0][...])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--region", "x=5"), "x=1000:3000"),
        (("--levels", "a"), "as 0,2"),
        (("--keep-encoded", "--shard", "2"), "no shards"),
    ],
)
def test_what_cannot_be_meant_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], said: str
) -> None:
    code, told = run(capsys, "dicomweb://127.0.0.1:9/studies/1/series/2", tmp_path / "out.zarr", *words)
    assert code == 2
    assert said in told
    assert len(told.splitlines()) == 1


def test_many_series_are_exported_from_a_list_and_those_that_fail_are_named(
    opened: Opener, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    series: list[Any] = [volume(AXIAL, distinct((4, 16, 20)), name=f"listed {number}") for number in range(2)]
    server = opened.serve([dataset for each in series for dataset in each.datasets])
    listed = tmp_path / "ids.csv"
    rows = [(each.study_uid, each.series_uid) for each in series]
    rows.insert(1, (series[0].study_uid, "1.2.3.4"))
    lines = ["StudyInstanceUID,SeriesInstanceUID,note", *(f"{study},{uid},x" for study, uid in rows)]
    listed.write_text("\n".join(lines))
    code, said = run(capsys, server.url, tmp_path / "{series}.zarr", "--from", listed)
    assert code == 1
    assert "1 of 3 series failed" in said
    assert said.count("dicomzarr: error:") == 2
    code, said = run(capsys, server.url, tmp_path / "{series}.zarr", "--from", listed)
    assert code == 1
    assert "1 of 3 series failed" in said
    assert said.count("is there already, and stays as it is") == 2
    for each in series:
        image = dicomzarr.open(server.series_url(each.study_uid, each.series_uid))
        assert np.array_equal(group_at(tmp_path / f"{each.series_uid}.zarr")["0"][...], pixels_of(image))


def test_what_search_has_found_is_a_list(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    series: list[Any] = [volume(AXIAL, distinct((4, 16, 20)), name=f"listed {number}") for number in range(2)]
    folder = tmp_path / "in"
    write(folder, [dataset for each in series for dataset in each.datasets])
    code, said = run(capsys, folder, tmp_path / "out.zarr")
    assert code == 2
    assert said.endswith("or all of a list: --from LIST.csv, with {series} in OUT\n")
    dicomzarr.search(folder).to_dataframe().to_csv(tmp_path / "ids.csv")
    assert run(capsys, folder, tmp_path / "{series}.zarr", "--from", tmp_path / "ids.csv")[0] == 0
    assert {path.stem for path in tmp_path.glob("*.zarr")} == {each.series_uid for each in series}


@pytest.mark.parametrize(
    ("text", "output", "said"),
    [
        ("a,b\n1,2\n", "{series}.zarr", "no columns"),
        ("StudyInstanceUID;SeriesInstanceUID\n1;2\n", "{series}.zarr", "separated by a comma"),
        ("StudyInstanceUID,SeriesInstanceUID\n", "{series}.zarr", "lists no series"),
        ("StudyInstanceUID,SeriesInstanceUID\n1.2,3.4\n,\n", "{series}.zarr", "Line 3 of"),
        ("StudyInstanceUID,SeriesInstanceUID\n1.2, \n", "{series}.zarr", "Line 2 of"),
        ("StudyInstanceUID,SeriesInstanceUID\n1.2\n", "{series}.zarr", "Line 2 of"),
        ("StudyInstanceUID,SeriesInstanceUID\n1,2\n", "out.zarr", "many series"),
        ("StudyInstanceUID,SeriesInstanceUID\n1,2\n", "{patient}/{series}.zarr", "{patient}, which is not known"),
        (None, "{series}.zarr", "could not be read"),
    ],
)
def test_a_list_that_cannot_be_meant_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str | None, output: str, said: str
) -> None:
    listed = tmp_path / "ids.csv"
    if text is not None:
        listed.write_text(text)
    code, told = run(capsys, "dicomweb://127.0.0.1:9", tmp_path / output, "--from", listed)
    assert code == 2
    assert said in told
