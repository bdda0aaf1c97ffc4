"""Fixtures that every test may ask for: real series and real servers."""

from __future__ import annotations

import gc
import os
import signal
from typing import TYPE_CHECKING, NoReturn

import pytest
from object_store import running_moto
from orthanc import Orthanc, OrthancMissingError, dicomize, running_orthanc, synthetic_png
from real_data import FOLDER, real_file, real_series
from thoroughness import be_brief, sample
from tiny_pacs import TinyPACS, running_tiny_pacs, tiny_pacs_python

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


be_brief()

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # As in what a shell starts in the background: processes that tests interrupt would inherit it, and never end.
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_finish() -> None:
    """Modules and tests live to the end: no collection needs to look through millions of objects for them again."""
    gc.collect()
    gc.freeze()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--sample", action="store_true", help="all tests, with few of their cases: what only depends on other versions"
    )


@pytest.hookimpl(trylast=True)  # what markers leave
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Whatever uses a fixture named orthanc... carries the marker ``orthanc``; ``--sample`` leaves out cases."""
    if config.getoption("sample"):
        items[:], left_out = sample(items)
        config.hook.pytest_deselected(items=left_out)
    for item in items:
        names = getattr(item, "fixturenames", ())
        if any(name.startswith("orthanc") for name in names):
            item.add_marker("orthanc")


def _absent(reason: str) -> NoReturn:
    """Skip where a developer lacks a server, fail where it was promised."""
    if os.environ.get("CI") or os.environ.get("DICOMZARR_REQUIRE_ORTHANC"):
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def orthanc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orthanc]:
    """One Orthanc without authentication, for all tests; give it data by ``orthanc.load``."""
    try:
        with running_orthanc(tmp_path_factory.mktemp("orthanc")) as server:
            yield server
    except OrthancMissingError as error:
        _absent(str(error))


@pytest.fixture(scope="session")
def orthanc_with_password(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orthanc]:
    """An Orthanc that asks for HTTP Basic authentication: see its ``auth``."""
    folder = tmp_path_factory.mktemp("orthanc-with-password")
    try:
        with running_orthanc(folder, auth=("reader", "p4ss:wörd")) as server:
            yield server
    except OrthancMissingError as error:
        _absent(str(error))


@pytest.fixture(scope="session")
def orthanc_dicomized_files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A slide by OrthancWSIDicomizer, uncompressed, its two finest levels split over instances."""
    folder = tmp_path_factory.mktemp("dicomized")
    synthetic_png(folder / "image.png")
    try:
        return dicomize(folder / "image.png", folder)
    except OrthancMissingError as error:
        _absent(str(error))


@pytest.fixture(scope="session")
def moto() -> Iterator[str]:
    """The URL of a server of S3."""
    with running_moto() as url:
        yield url


@pytest.fixture
def tiny_pacs(tmp_path: Path) -> Iterator[TinyPACS]:
    """A tiny-pacs-dicomweb, empty; give it data by ``tiny_pacs.load``."""
    python = tiny_pacs_python()
    if python is None:
        _absent("no tiny-pacs-dicomweb; tests/support/tiny_pacs.py says how to have it")
    with running_tiny_pacs(python, tmp_path) as server:
        yield server


@pytest.fixture
def tried_again_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """What fails is asked for again without a pause; the timeout stays as long as a busy machine may need."""
    monkeypatch.setattr("dicomzarr.sources.http.retry.FIRST_PAUSE", 0.0)


@pytest.fixture(scope="session")
def shared_dir() -> Path:
    """The folder around the real series, which also holds damaged codestreams and series that were reported as bugs."""
    folder = FOLDER.parent
    if not (folder / "hostile").is_dir() or not (folder / "cases").is_dir():
        pytest.skip(f"{folder} lacks the folders hostile and cases: they lie beside the real series, where CI has them")
    return folder


@pytest.fixture(scope="session")
def cmu1_files() -> list[Path]:
    """CMU-1-Small-Region: twelve levels, finest first."""
    files = real_series("slide_cmu1").glob("level-*.dcm")
    return sorted(files, key=lambda path: int(path.name.split("-")[1]))


@pytest.fixture(scope="session")
def camelyon_file() -> Path:
    """One RESAMPLED level of a Camelyon slide, JPEG in YBR_FULL_422."""
    return real_file("slide_camelyon_level")
