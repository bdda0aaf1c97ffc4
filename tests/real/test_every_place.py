"""Every series that tests have shows the same in a folder and in every other place, also through zarr.

Orthanc, our own DICOMweb server, archives, and moto, a server of S3 that is not ours.
"""

from __future__ import annotations

import tarfile
import zipfile
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import pytest
from alike import assert_alike
from every_series import NAMES, held
from object_store import put
from serving import forget_servers

import dicomzarr
from dicomzarr.faces.dicomweb_server import DICOMwebServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from every_series import Held

    from dicomzarr.arrays.image import Image

pytestmark = [
    pytest.mark.filterwarnings("ignore:datetime.datetime.utcnow:DeprecationWarning"),  # of moto
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # of botocore's connections
]

ALWAYS = ("volume with labels", "pet", "cine", "sparse_jpeg", "concatenation")
"""Tried with Orthanc wherever tests run; all others are slow together."""


class There(NamedTuple):
    """A series in a place."""

    image: Image
    options: dict[str, Any]
    """That lead to the place."""
    unsaid: tuple[str, ...] = ()
    """Attributes that its server does not tell."""


Place: TypeAlias = "Callable[[Held, Path, pytest.FixtureRequest], AbstractContextManager[There]]"


@contextmanager
def in_orthanc(one: Held, _: Path, request: pytest.FixtureRequest) -> Iterator[There]:
    orthanc = request.getfixturevalue("orthanc")
    orthanc.load(sorted(one.folder.glob("*.dcm")))
    # PS3.18 table 10.6.1-5 lets a server tell in which syntax it holds an instance, and Orthanc 1.10 does not.
    url = orthanc.series_url(one.study, one.series)
    yield There(dicomzarr.open(url, **one.options), {}, ("available_transfer_syntax_uid",))


@contextmanager
def in_our_server(one: Held, _: Path, __: pytest.FixtureRequest) -> Iterator[There]:
    with DICOMwebServer(one.folder) as server:
        yield There(dicomzarr.open(server.series_url(one.study, one.series), **one.options), {})


@contextmanager
def in_zip(one: Held, scratch: Path, _: pytest.FixtureRequest) -> Iterator[There]:
    with zipfile.ZipFile(scratch / "all.zip", "w") as archive:
        for number, file in enumerate(sorted(one.folder.iterdir())):
            archive.write(file, f"deeper/{file.name}", (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)[number % 2])
    yield There(one.opened(scratch / "all.zip"), {})


@contextmanager
def in_tar(one: Held, scratch: Path, _: pytest.FixtureRequest, name: str = "all.tar") -> Iterator[There]:
    with tarfile.open(scratch / name, "w:gz" if name.endswith(".gz") else "w") as archive:
        archive.add(one.folder, "deeper")
    yield There(one.opened(scratch / name), {})


@contextmanager
def in_moto(one: Held, _: Path, request: pytest.FixtureRequest) -> Iterator[There]:
    url = request.getfixturevalue("moto")
    put(url, f"open/{one.series}", one.folder)
    options = {"endpoint_url": url}
    yield There(one.opened(f"s3://open/{one.series}", **options), options)


PLACES: dict[str, Place] = {
    "orthanc": in_orthanc,
    "our server": in_our_server,
    "zip": in_zip,
    "tar": in_tar,
    "tar.gz": partial(in_tar, name="all.tar.gz"),
    "moto": in_moto,
}


@pytest.fixture(autouse=True)
def _forgotten() -> Iterator[None]:
    yield
    forget_servers()


@pytest.mark.parametrize(
    ("name", "place"),
    [
        pytest.param(
            name,
            place,
            marks=[
                *([] if place == "orthanc" and name in ALWAYS else [pytest.mark.slow]),
                *([pytest.mark.orthanc] if place == "orthanc" else []),
            ],
        )
        for place in PLACES
        for name in NAMES
    ],
)
def test_a_series_is_the_same_everywhere(name: str, place: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    one = held(name, tmp_path / "files")
    here = one.opened(one.folder)
    with PLACES[place](one, tmp_path, request) as there:
        assert_alike(here, there.image, there.options, there.unsaid, **one.options)
