"""The documentation says what is true: its code runs, and what the code offers is in it."""

from __future__ import annotations

import argparse
import io
import re
import subprocess
import sys
from contextlib import redirect_stdout
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pydicom
import pytest
from radiology_model import AXIAL, OBLIQUE, distinct
from radiology_multiframe import enhanced_volume
from radiology_volumes import volume
from segmentations import IDENTIFIED, ascending, random_masks, segmented

from dicomzarr import errors
from dicomzarr.demo.archive import Archive
from dicomzarr.demo.server import DICOMwebServer
from dicomzarr.demo.slide import SERIES, STUDY, demo_files
from dicomzarr.faces.cli.parser import build_parser
from dicomzarr.options import StorageOptions

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")])

BLOCK = re.compile(
    r"(?:^<!-- not run: (?P<reason>[^\n]+) -->\n)?^```python\n(?P<code>.*?)^```\n(?:\n```text\n(?P<output>.*?)^```\n)?",
    re.MULTILINE | re.DOTALL,
)
COMMAND = re.compile(r"^```sh\n(?P<lines>.*?)^```", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """A fenced block of Python in a page."""

    line: int
    code: str
    reason: str | None
    """Why it is not run."""
    output: str | None
    """The text block that follows it: what it prints."""


def python_blocks(page: Path) -> list[Block]:
    text = page.read_text(encoding="utf-8")
    return [
        Block(text.count("\n", 0, found.start("code")), found["code"], found["reason"], found["output"])
        for found in BLOCK.finditer(text)
    ]


def readme_commands() -> list[str]:
    found = COMMAND.findall((ROOT / "README.md").read_text(encoding="utf-8"))
    return [line for lines in found for line in lines.splitlines()]


@pytest.fixture(scope="module")
def server() -> Iterator[DICOMwebServer]:
    with DICOMwebServer(Archive(demo_files())) as running:
        yield running


@dataclass(frozen=True)
class Radiology:
    """A server with a CT and its segmentation."""

    server: DICOMwebServer
    study: str
    series: str


@pytest.fixture(scope="module")
def radiology() -> Iterator[Radiology]:
    ct = volume(AXIAL, distinct((60, 16, 20)), name="documented", **IDENTIFIED)
    found = segmented(ascending(ct, AXIAL), random_masks((2, 60, 16, 20)))
    with DICOMwebServer(Archive([*ct.datasets, found.dataset])) as running:
        yield Radiology(running, ct.study_uid, ct.series_uid)


def as_served(code: str, server: DICOMwebServer, radiology: Radiology) -> str:
    """The code with servers of this process in the place of the made-up ones."""
    http = server.url
    for made_up, real in (
        ("dicomwebs://PACS/dicom-web", radiology.server.url.replace("http://", "dicomweb://")),
        ("studies/STUDY/series/CT", f"studies/{radiology.study}/series/{radiology.series}"),
        ("dicomwebs://HOST/dicom-web", http.replace("http://", "dicomweb://")),
        ("https://HOST/dicom-web", http),
        ("studies/STUDY", f"studies/{STUDY}"),
        ("series/SERIES", f"series/{SERIES}"),
        ('filesystem("dicomwebs")', 'filesystem("dicomweb")'),
        ('DICOMwebServer("FOLDER")', f"DICOMwebServer({str(demo_files()[0].parent)!r})"),
    ):
        code = code.replace(made_up, real)
    return code


def marks(page: Path) -> tuple[pytest.MarkDecorator, ...]:
    """What a page needs besides."""
    return (pytest.mark.ngff_zarr,) if "import ngff_zarr" in page.read_text() else ()


@pytest.mark.parametrize(
    "page", [pytest.param(page, id=page.name, marks=marks(page)) for page in PAGES if python_blocks(page)]
)
def test_python_of_a_page_runs_and_prints_what_it_says(
    page: Path, server: DICOMwebServer, radiology: Radiology, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {"__name__": "page"}
    for block in python_blocks(page):
        if block.reason is not None:
            continue
        # Line numbers of tracebacks are those of the page.
        code = compile("\n" * block.line + as_served(block.code, server, radiology), str(page), "exec")
        printed = io.StringIO()
        with redirect_stdout(printed):
            exec(code, names)  # noqa: S102  # our own documentation
        if block.output is not None:
            assert printed.getvalue() == block.output, f"{page.name}, line {block.line}"


def stored_in(order: Sequence[int] | None) -> list[pydicom.Dataset]:
    """A CT of eight slices: a file for each, or one with its frames in this order of places."""
    pixels = distinct((8, 16, 20))
    if order is None:
        return list(volume(OBLIQUE, pixels, name="slices", **IDENTIFIED).datasets)
    (dataset,) = enhanced_volume(pixels[list(order)]).datasets
    groups = list(dataset.PerFrameFunctionalGroupsSequence)
    dataset.PerFrameFunctionalGroupsSequence = [groups[place] for place in order]
    for keyword, value in {**IDENTIFIED, "PositionReferenceIndicator": ""}.items():
        setattr(dataset, keyword, value)
    return [dataset]


@pytest.mark.parametrize(
    "order", [None, range(8), range(7, -1, -1), (3, 0, 7, 1, 6, 2, 5, 4)], ids=["files", "up", "down", "shuffled"]
)
def test_the_recipe_for_segmentations_gives_each_slice_its_own_mask(
    order: Sequence[int] | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By what pydicom reads of the segmentation: which source frame each of its frames is of, and where it lies."""
    monkeypatch.chdir(tmp_path)
    (recipe,) = (block for block in python_blocks(ROOT / "docs" / "recipes.md") if "hd.seg.Segmentation(" in block.code)
    datasets = stored_in(order)
    for number, dataset in enumerate(datasets):
        dataset.save_as(tmp_path / f"{number}.dcm", enforce_file_format=True)
    code = recipe.code.replace("dicomwebs://PACS/dicom-web/studies/STUDY/series/CT", str(tmp_path))
    with redirect_stdout(io.StringIO()):
        exec(code, {"__name__": "page"})  # noqa: S102  # our own documentation
    sources = {dataset.SOPInstanceUID: dataset for dataset in map(pydicom.dcmread, tmp_path.glob("[0-9].dcm"))}
    found = pydicom.dcmread("bone.dcm")
    assert found.NumberOfFrames == 8
    for mask, group in zip(found.pixel_array, found.PerFrameFunctionalGroupsSequence, strict=True):
        (referred,) = group.DerivationImageSequence[0].SourceImageSequence
        source = sources[referred.ReferencedSOPInstanceUID]
        place, picture = source, source.pixel_array
        if order is not None:
            place = source.PerFrameFunctionalGroupsSequence[referred.ReferencedFrameNumber - 1].PlanePositionSequence[0]
            picture = picture[referred.ReferencedFrameNumber - 1]
        assert np.array_equal(mask, picture > 3000)
        assert group.PlanePositionSequence[0].ImagePositionPatient == place.ImagePositionPatient


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_python_block_of_a_page_was_found(page: Path) -> None:
    assert len(python_blocks(page)) == page.read_text(encoding="utf-8").count("```python")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_each_module_that_a_page_names_is_there(page: Path) -> None:
    for name in re.findall(r"`((?:\w+/)+(?:\w+\.py)?)`", page.read_text(encoding="utf-8")):
        assert any((root / name).exists() for root in (ROOT, ROOT / "dicomzarr")), name


def test_tables_are_those_of_the_code() -> None:
    checked = subprocess.run(  # noqa: S603  # our own tool
        [sys.executable, str(ROOT / "tools" / "doc_tables.py"), "--check"], capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.mark.parametrize("option", [option.name for option in fields(StorageOptions)])
def test_every_storage_option_is_documented(option: str) -> None:
    assert f"| `{option}` |" in (ROOT / "docs" / "options.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "name", [name for name, value in vars(errors).items() if isinstance(value, type) and issubclass(value, Exception)]
)
def test_every_error_is_documented(name: str) -> None:
    assert f"- `{name}`:" in (ROOT / "docs" / "errors.md").read_text(encoding="utf-8")
    assert name in (errors.__doc__ or "")


def commands() -> dict[str, argparse.ArgumentParser]:
    parser = build_parser()
    return next(action.choices for action in parser._actions if isinstance(action, argparse._SubParsersAction))


@pytest.mark.parametrize("name", commands())
def test_every_command_and_its_options_are_documented(name: str) -> None:
    page = (ROOT / "docs" / "command-line.md").read_text(encoding="utf-8")
    assert f"## dicomzarr {name}\n" in page
    options = {option for action in commands()[name]._actions for option in action.option_strings}
    said = set(re.findall(r"--[a-z][a-z-]+", page))
    assert {option for option in options if option.startswith("--")} - said == {"--help"}


def test_no_option_is_documented_that_no_command_has() -> None:
    page = (ROOT / "docs" / "command-line.md").read_text(encoding="utf-8")
    options = {option for command in commands().values() for item in command._actions for option in item.option_strings}
    assert set(re.findall(r"--[a-z][a-z-]+", page)) <= options


def test_the_readme_has_one_command_for_the_demo_and_one_for_the_tests() -> None:
    demo, tests = readme_commands()
    assert demo.endswith("&& dicomzarr demo")
    assert tests.endswith("&& pytest")


def test_relative_links_of_the_readme_lead_somewhere() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    links = [link.partition("#")[0] for link in re.findall(r"\]\(([^)]+)\)", text) if "://" not in link]
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []
