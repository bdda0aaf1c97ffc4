"""Storage options: what they refuse, and that secrets stay in the process."""

from __future__ import annotations

import copy
import json
import os
import pickle
import subprocess
import sys
from dataclasses import fields
from functools import partial
from typing import Any

import dicomweb_client
import numpy as np
import pytest

from dicomzarr.errors import CredentialsUnavailableError, InvalidOptionError
from dicomzarr.options import Access, StorageOptions, Tuning, View

SECRET = "s3cret-value"  # noqa: S105  # nobody's


def module_level_auth() -> dict[str, str]:
    return {"Authorization": f"Bearer {SECRET}"}


class Tokens:
    def headers(self) -> dict[str, str]:
        return {}


def secret_options() -> list[dict[str, Any]]:
    client = dicomweb_client.DICOMwebClient("https://h", headers={"X-Key": SECRET})
    return [
        {"headers": {"X-Key": SECRET}},
        {"auth": ("reader", SECRET)},
        {"auth": lambda: {"X-Key": SECRET}},
        {"auth": Tokens().headers},
        {"client": client},
        {"headers": {"X-Key": SECRET}, "client": client, "timeout": 5},
    ]


def test_defaults() -> None:
    options = StorageOptions.parse()
    assert options.to_public() == {}
    assert repr(options) == "StorageOptions()"
    assert (options.timeout, options.max_connections, options.frames_per_request) == (60.0, 8, 256)
    assert options.cache_bytes == 256 * 2**20
    assert options == StorageOptions.parse(timeout=60, values="stored")


def test_public_options_travel_as_json() -> None:
    options = StorageOptions.parse(timeout=5, include_phi=True, max_connections=16)
    public = json.loads(json.dumps(options.to_public()))
    assert public == {"timeout": 5.0, "include_phi": True, "max_connections": 16}
    assert StorageOptions.parse(**public) == options


@pytest.mark.parametrize("given", secret_options())
def test_secrets_stay_behind_a_reference(given: dict[str, Any]) -> None:
    options = StorageOptions.parse(**given)
    public = options.to_public()
    for text in (repr(options), str(options), json.dumps(public), options.identity, str(pickle.dumps(options))):
        assert SECRET not in text
        assert "reader" not in text
    again = StorageOptions.parse(**json.loads(json.dumps(public)))
    assert (again.headers, again.auth, again.client) == (options.headers, options.auth, options.client)
    assert again == options
    assert hash(again) == hash(options)
    assert pickle.loads(pickle.dumps(options)) == options  # noqa: S301  # made one line above
    assert copy.copy(options) == options


def test_a_named_callable_travels_by_name() -> None:
    options = StorageOptions.parse(auth=module_level_auth)
    name = f"{module_level_auth.__module__}:module_level_auth"
    assert options.to_public() == {"auth": name}
    assert StorageOptions.parse(auth=name) == options
    assert SECRET not in repr(options)


def test_identity_tells_users_apart() -> None:
    def identity(**options: Any) -> str:
        return StorageOptions.parse(**options).identity

    assert identity(auth=("a", "b")) == identity(auth=["a", "b"])
    assert identity(headers={"X-A": "1"}) == identity(headers={"x-a": "1"})
    different = [
        identity(),
        identity(auth=("a", "b")),
        identity(auth=("a", "c")),
        identity(headers={"x-a": "1"}),
        identity(headers={"x-a": "2"}),
        identity(include_phi=True),
        identity(auth=Tokens().headers),
        identity(auth=Tokens().headers),
        identity(auth=module_level_auth),
    ]
    assert len(set(different)) == len(different)


ELSEWHERE = """
import asyncio, pickle, sys
from dicomzarr.sources.http.credentials.auth import credentials_for
options = pickle.loads(bytes.fromhex(sys.argv[1]))
assert pickle.loads(pickle.dumps(options)) == options
print(options.to_public()["credentials"], flush=True)
asyncio.run(credentials_for("https://server.example", options).headers_for("https://server.example", {}))
"""


def test_another_process_lacks_the_credentials() -> None:
    """Which is no failure to load: loading happens where nobody hears of failures, as in dask's workers."""
    options = StorageOptions.parse(auth=("reader", SECRET), headers={"X-Key": SECRET}, timeout=7)
    done = subprocess.run(  # noqa: S603  # our own interpreter
        [sys.executable, "-c", ELSEWHERE, pickle.dumps(options).hex()],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ,
    )
    assert done.stdout.strip() == options.to_public()["credentials"]
    assert "CredentialsUnavailableError" in done.stderr
    assert "auth=" in done.stderr
    with pytest.raises(CredentialsUnavailableError):
        StorageOptions.parse(credentials="local:0000")
    with pytest.raises(CredentialsUnavailableError):
        StorageOptions.parse(credentials=["local:0000"])


@pytest.mark.parametrize("given", [{"auth": ("reader", SECRET)}, {"auth": lambda: {"X-Key": SECRET}}])
def test_secrets_go_with_the_last_who_has_them(given: dict[str, Any]) -> None:
    first = StorageOptions.parse(**given)
    public = first.to_public()
    second = StorageOptions.parse(**given)
    assert second.to_public() == public
    del first
    assert StorageOptions.parse(**public) == second
    del second
    with pytest.raises(CredentialsUnavailableError):
        StorageOptions.parse(**public)


def test_a_reference_never_comes_to_mean_another_callable() -> None:
    """Even where the second takes the place, and the id, of the first."""
    seen = set()
    for number in range(50):
        reference = StorageOptions.parse(auth=partial(dict, number=str(number))).to_public()["credentials"]
        assert reference not in seen
        seen.add(reference)


def test_credentials_beside_the_same_option() -> None:
    options = StorageOptions.parse(auth=("a", "b"))
    reference = options.to_public()["credentials"]
    with pytest.raises(InvalidOptionError, match="came twice"):
        StorageOptions.parse(credentials=reference, auth=("a", "c"))


@pytest.mark.parametrize(
    ("option", "hint"), [("time_out", "'timeout'"), ("max_conections", "'max_connections'"), ("xyz", "Known are")]
)
def test_unknown_options(option: str, hint: str) -> None:
    with pytest.raises(InvalidOptionError, match=hint) as caught:
        StorageOptions.parse(**{option: 1})
    assert repr(option) in str(caught.value)


async def async_auth() -> dict[str, str]:
    return {}


@pytest.mark.parametrize(
    "option",
    [
        {"timeout": 0},
        {"timeout": "5"},
        {"timeout": True},
        {"timeout": float("nan")},
        {"timeout": float("inf")},
        {"max_connections": 0},
        {"max_connections": 257},
        {"max_connections": 2.0},
        {"frames_per_request": 0},
        {"frames_per_request": 401},
        {"cache_bytes": -1},
        {"cache_bytes": True},
        {"values": "rescaled"},
        {"allow_insecure": "no"},
        {"include_phi": 1},
        {"associated_label": None},
        {"headers": [("X", SECRET)]},
        {"headers": {"X": f"{SECRET}\r\nY: z"}},
        {"headers": {"X": f"{SECRET}\x1b"}},
        {"headers": {"X": f"{SECRET}\x7f"}},
        {"headers": {"X": f"{SECRET}\udcff"}},
        {"headers": {"Content-Length": "5"}},
        {"headers": {"transfer-encoding": "chunked"}},
        {"headers": {"Connection": "close"}},
        {"auth": ("reader", f"{SECRET}\udcff")},
        {"auth": ("reader\x1b", SECRET)},
        {"headers": {"X Y": SECRET}},
        {"headers": {"X": 1}},
        {"auth": ("reader", SECRET, SECRET)},
        {"auth": ("read:er", SECRET)},
        {"auth": f"Bearer {SECRET}"},
        {"auth": async_auth},
        {"auth": 3},
        {"client": SECRET},
        {"client": object(), "auth": ("a", "b")},
    ],
)
def test_impossible_values(option: dict[str, Any]) -> None:
    with pytest.raises(InvalidOptionError) as caught:
        StorageOptions.parse(**option)
    assert next(iter(option)) in str(caught.value)
    assert SECRET not in str(caught.value)
    assert caught.value.remedy


def test_numbers_of_numpy_are_those_of_python() -> None:
    given = {"max_connections": np.int64(3), "timeout": np.float32(2.5), "labels": np.True_, "zarr_format": np.array(2)}
    options = StorageOptions.parse(**given)
    assert (options.max_connections, options.timeout, options.labels, options.zarr_format) == (3, 2.5, True, 2)
    assert json.loads(json.dumps(options.to_public())) == options.to_public()


def test_headers_that_can_be_sent() -> None:
    given = {"X-A": "a\tb", "X-B": "\u00fc", "Host": "pacs.hospital", "TE-X": ""}
    assert StorageOptions.parse(headers=given).headers == {name.lower(): value for name, value in given.items()}


# --- three values inside ---


def test_each_option_is_in_one_of_three_values() -> None:
    names = [item.name for kind in (Access, Tuning, View) for item in fields(kind)]
    assert sorted(names) == sorted(item.name for item in fields(StorageOptions))
    options = StorageOptions.parse(auth=("reader", SECRET), timeout=3, max_connections=2, values="color", labels=True)
    for value in (options.access, options.tuning, options.view):
        assert all(getattr(value, item.name) == getattr(options, item.name) for item in fields(value))
        assert SECRET not in repr(value)


def test_credentials_alone_tell_accesses_apart() -> None:
    one: dict[str, Any] = {"auth": Tokens().headers, "headers": {"x-a": "1"}}
    alike: list[dict[str, Any]] = [
        one,
        {**one, "timeout": 3, "cache_dir": "x", "values": "color", "max_connections": 1},
    ]
    others: list[dict[str, Any]] = [{}, {"auth": one["auth"]}, {"headers": one["headers"]}, {"auth": "env:A"}]
    found = [StorageOptions.parse(**options).access for options in (*alike, *others)]
    assert found[0].identity == found[1].identity
    assert len({access.identity for access in found}) == 1 + len(others)


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("verify", "named by ca"),
        ("token", "Authorization"),
        ("password", "auth=(user, password)"),
        ("secret", 'auth="aws"'),
        ("proxies", "HTTPS_PROXY"),
        ("cookies", "cookies:file=FILE"),
        ("timeot", "Did you mean 'timeout'?"),
    ],
)
def test_options_of_others_are_answered_with_ours(name: str, hint: str) -> None:
    with pytest.raises(InvalidOptionError) as caught:
        StorageOptions.parse(**{name: "s3cret"})
    assert hint in str(caught.value)
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    ("option", "wanted"),
    [
        ({"index": True}, '"beside" for the files\' folder, the path of a file, or None'),
        ({"index": 5}, '"beside" for the files\' folder, the path of a file, or None'),
        ({"index": "a\0b"}, "the path of a file"),
        ({"ca": 5}, "the path of a PEM file"),
        ({"ca": True}, "the path of a PEM file"),
        ({"cert": ("a", False)}, "the path of a PEM file"),
        ({"cache_dir": 5}, "a path, True for the usual place, or None"),
    ],
    ids=str,
)
def test_the_refusal_of_a_path_offers_what_the_option_takes(option: dict[str, Any], wanted: str) -> None:
    with pytest.raises(InvalidOptionError) as raised:
        StorageOptions.parse(**option)
    assert wanted in str(raised.value)
    assert ("usual place" in str(raised.value)) == ("cache_dir" in option)
