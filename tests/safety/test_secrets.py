"""No spelling of a filesystem, an image or an error gives a secret away, and none of them loses it."""

from __future__ import annotations

import base64
import json
import pickle
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dask
import dask.array as da
import fsspec
import numpy as np
import pytest
import xarray as xr
from faults import require_basic, require_bearer
from opened import group_at
from serving import Served, run_python, serving
from slides import brightfield_pyramid
from upath import UPath
from zarr.storage import FsspecStore

import dicomzarr
from dicomzarr.errors import (
    AuthenticationError,
    CredentialsUnavailableError,
    DicomZarrError,
    InsecureTransportError,
    InvalidOptionError,
)
from dicomzarr.faces.fsspec.filesystem import DICOMwebFileSystem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

SECRET = "sw0rdf1sh"  # noqa: S105  # what the tests search for
BASIC = base64.b64encode(f"joe:{SECRET}".encode()).decode()


def bearer() -> Mapping[str, str]:
    return {"Authorization": f"Bearer {SECRET}"}


OPTIONS: dict[str, dict[str, Any]] = {
    "auth": {"auth": ("joe", SECRET)},
    "headers": {"headers": {"Authorization": f"Basic {BASIC}"}},
    "both": {"auth": ("joe", SECRET), "headers": {"X-Api-Key": SECRET}},
}


@pytest.fixture(scope="module")
def guarded() -> Iterator[Served]:
    with serving(brightfield_pyramid(), require_basic("joe", SECRET)) as each:
        yield each


@pytest.fixture(params=OPTIONS)
def options(request: pytest.FixtureRequest) -> dict[str, Any]:
    return OPTIONS[request.param]


def with_user(url: str) -> str:
    return url.replace("://", f"://joe:{SECRET}@")


def holds_secret(*spellings: object) -> bool:
    texts = [one if isinstance(one, bytes) else str(one).encode() for one in spellings]
    return any(secret.encode() in text for text in texts for secret in (SECRET, BASIC))


def everything_said(error: BaseException) -> str:
    return "".join(traceback.format_exception(error)) + repr(error) + repr(error.args)


def test_a_filesystem_never_spells_its_secrets(guarded: Served, options: dict[str, Any]) -> None:
    fs = fsspec.filesystem("dicomweb", **options)
    assert fs.exists(guarded.url)
    assert not holds_secret(repr(fs), fs.to_json(), fs.to_dict(), fs._fs_token, fs.storage_options, pickle.dumps(fs))
    assert not holds_secret(dask.base.tokenize(fs), repr(fs.options), hash(fs), repr(vars(fs)))
    store = FsspecStore.from_mapper(fs.get_mapper(guarded.url), read_only=True)
    assert not holds_secret(repr(store), str(store), pickle.dumps(store), repr(store.fs))
    opened = fsspec.open(f"{guarded.url}/zarr.json", **options)
    assert not holds_secret(repr(opened), pickle.dumps(opened))


def test_an_image_never_spells_its_secrets(guarded: Served, options: dict[str, Any]) -> None:
    image = dicomzarr.open(guarded.url, **options)
    blocks = image.levels[1].to_dask()
    tree = image.to_xarray()
    assert not holds_secret(repr(image), image.url, image._repr_html_(), pickle.dumps(image))
    assert not holds_secret(repr(image.levels[0]), pickle.dumps(image.levels[0]))
    assert not holds_secret(blocks.name, repr(blocks), pickle.dumps(dict(blocks.__dask_graph__())))
    assert not holds_secret(repr(tree), pickle.dumps(tree["1"].to_dataset()))


def test_secrets_survive_what_stays_in_the_process(guarded: Served, options: dict[str, Any]) -> None:
    fs = fsspec.filesystem("dicomweb", **options)
    copies = [pickle.loads(pickle.dumps(fs)), fsspec.AbstractFileSystem.from_json(fs.to_json())]  # noqa: S301  # our own
    for copy in copies:
        assert copy == fs
        assert copy.cat_file(f"{guarded.url}/zarr.json") == fs.cat_file(f"{guarded.url}/zarr.json")
    store = FsspecStore.from_mapper(fs.get_mapper(guarded.url), read_only=True)
    again = pickle.loads(pickle.dumps(store))  # noqa: S301  # our own
    assert again == store
    expected = guarded.slide.levels[3].pixels[:, 0]
    for each in (store, again):
        assert np.array_equal(group_at(each)["3"][...], expected)
    image = pickle.loads(pickle.dumps(dicomzarr.open(guarded.url, **options)))  # noqa: S301  # our own
    assert np.array_equal(image.levels[3][...], expected)
    blocks: Any = da.from_zarr(guarded.url, component="3", storage_options=options)  # type: ignore[no-untyped-call]  # dask's
    assert np.array_equal(blocks.compute(), expected)
    tree = xr.open_datatree(guarded.url, engine="dicomzarr", storage_options=options)
    assert np.array_equal(tree["3"]["image"], expected)


def test_user_info_becomes_an_option(guarded: Served) -> None:
    url = with_user(guarded.url)
    fs, path = fsspec.url_to_fs(url)
    assert path == guarded.url
    assert fs.options.auth == ("joe", SECRET)
    with fsspec.open(f"{url}/zarr.json") as file:
        assert not holds_secret(file.read(), repr(file))
    group = group_at(url)
    assert "0" in group
    assert not holds_secret(repr(group), repr(group.store), group.store_path)
    image = dicomzarr.open(url)
    assert not holds_secret(repr(image), image.url, pickle.dumps(image))


def test_user_info_does_not_come_back_in_names(guarded: Served) -> None:
    fs = fsspec.filesystem("dicomweb", auth=("joe", SECRET))
    url = with_user(guarded.url)
    assert fs.info(f"{url}/zarr.json")["name"] == f"{guarded.url}/zarr.json"
    assert not holds_secret(fs.ls(url), fs.find(url), fs.glob(f"{url}/*"), fs.get_mapper(url).root)


def test_a_upath_holds_references(guarded: Served) -> None:
    for path in (UPath(with_user(guarded.url)), UPath(guarded.url, auth=("joe", SECRET))):
        below = path / "zarr.json"
        assert below.read_bytes()
        assert not holds_secret(
            repr(path), str(below), dict(below.storage_options), pickle.dumps(below), path._raw_urlpaths
        )
        assert pickle.loads(pickle.dumps(below)).exists()  # noqa: S301  # our own


def test_errors_never_spell_secrets(guarded: Served) -> None:
    wrong = f"{SECRET}!"
    fs = fsspec.filesystem("dicomweb", auth=("joe", wrong))
    elsewhere = "dicomweb://joe:{}@192.0.2.1/studies/1.2/series/3.4"
    attempts: list[Callable[[], object]] = [
        lambda: fs.cat_file(f"{guarded.url}/zarr.json"),
        lambda: fs.info(with_user(guarded.url) + "/nope"),
        lambda: fs.cat_file(with_user(guarded.url.rpartition("/series")[0])),
        lambda: fs.rm(with_user(guarded.url)),
        lambda: fs.rm([with_user(guarded.url)]),
        lambda: fs.info(with_user(guarded.url) + "?token=x"),
        lambda: fs.info(with_user("ftp://host/studies/1.2")),
        lambda: dicomzarr.open(with_user(guarded.url), auth=SECRET),
        lambda: dicomzarr.open(elsewhere.format(SECRET)),
        lambda: dicomzarr.open(guarded.url, headers={"X-Api-Key": f"{SECRET}\n"}),
        lambda: dicomzarr.open(with_user(guarded.url) + "/0"),
        lambda: dicomzarr.open(f"{with_user(guarded.url)}?{SECRET}"),
        lambda: fsspec.filesystem("dicomweb", auth=[SECRET]),
        lambda: fsspec.filesystem("dicomweb", **{SECRET[:3]: SECRET}),
    ]
    for attempt in attempts:
        with pytest.raises((DicomZarrError, FileNotFoundError)) as failed:
            attempt()
        assert not holds_secret(everything_said(failed.value))


def test_credentials_given_twice_are_refused(guarded: Served) -> None:
    with pytest.raises(InvalidOptionError, match="twice"):
        dicomzarr.open(with_user(guarded.url), auth=("joe", "other"))


def test_credentials_do_not_travel_over_plain_http() -> None:
    with pytest.raises(InsecureTransportError, match="HTTPS"):
        dicomzarr.open("dicomweb://192.0.2.1/studies/1.2/series/3.4", auth=("joe", SECRET))


def test_identities_do_not_share_what_they_opened(guarded: Served) -> None:
    assert dicomzarr.open(guarded.url, auth=("joe", SECRET)).levels
    for nobody in ({}, {"auth": ("joe", "guess")}, {"headers": {"X-Api-Key": SECRET}}):
        with pytest.raises(AuthenticationError):
            dicomzarr.open(guarded.url, **nobody)
        with pytest.raises(AuthenticationError):
            fsspec.filesystem("dicomweb", **nobody).exists(guarded.url)


LOADING = """
import base64, json, pickle, sys
import dicomzarr, zarr
from dicomzarr.errors import CredentialsUnavailableError

url = sys.argv[1]
said = []
for pickled in sys.argv[2:]:
    thing = pickle.loads(base64.b64decode(pickled))
    again = pickle.loads(pickle.dumps(thing))
    assert again == thing
    for each in (thing, again):
        try:
            if isinstance(each, dicomzarr.Image):
                each.levels[0].shape
            elif isinstance(each, zarr.storage.FsspecStore):
                zarr.open_group(each, mode="r")
            else:
                each.cat_file(url + "/zarr.json")
        except CredentialsUnavailableError as error:
            said.append(str(error))
print(json.dumps(said))
"""


def test_elsewhere_credentials_are_missed_with_a_remedy(guarded: Served) -> None:
    options = OPTIONS["auth"]
    fs = fsspec.filesystem("dicomweb", **options)
    made = [
        fs,
        FsspecStore.from_mapper(fs.get_mapper(guarded.url), read_only=True),
        dicomzarr.open(guarded.url, **options),
        UPath(guarded.url, **options).fs,
    ]
    said = run_python(LOADING, guarded.url, *[base64.b64encode(pickle.dumps(one)).decode() for one in made])
    assert len(said) == 2 * len(made)
    for message in said:
        assert "stayed in the process" in message
        assert "Give headers, auth or client again" in message


READING = """
import base64, json, pickle, sys
fs = pickle.loads(base64.b64decode(sys.argv[1]))
print(json.dumps(fs.cat_file(sys.argv[2]).decode()))
"""


@pytest.mark.slow
def test_an_importable_callable_travels_by_name() -> None:
    with serving(brightfield_pyramid(), require_bearer(SECRET)) as each:
        fs = DICOMwebFileSystem(auth=bearer)
        assert fs.storage_options == {"auth": "test_secrets:bearer"}
        pickled = base64.b64encode(pickle.dumps(fs)).decode()
        here = f"sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        document = run_python(here + READING, pickled, f"{each.url}/zarr.json")
        assert json.loads(document)["node_type"] == "group"


def test_a_reference_of_another_process_is_refused() -> None:
    with pytest.raises(CredentialsUnavailableError):
        fsspec.filesystem("dicomweb", credentials="local:0123456789abcdef")


def test_a_failing_auth_callable_is_not_quoted(guarded: Served) -> None:
    def broken() -> Mapping[str, str]:
        raise RuntimeError(SECRET)

    with pytest.raises(AuthenticationError, match="RuntimeError") as failed:
        dicomzarr.open(guarded.url, auth=broken)
    assert not holds_secret(everything_said(failed.value))
