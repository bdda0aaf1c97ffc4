"""URLs: every spelling of a series, and clear words for what is none."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from dicomzarr.errors import InvalidURLError
from dicomzarr.sources.dicomweb.urls import DICOMwebURL, frames_url, search_url, series_metadata_url
from dicomzarr.sources.http.urls import host_of, is_loopback, origin_of, pasted, safe_url, split_user_info

BASE = "https://h.example:8443/a/dicom-web"
SERIES = DICOMwebURL("dicomwebs", BASE, "1.2", "3.4")
CANONICAL = "dicomwebs://h.example:8443/a/dicom-web/studies/1.2/series/3.4"


@pytest.mark.parametrize(
    ("url", "parsed"),
    [
        (CANONICAL, SERIES),
        (CANONICAL + "/", SERIES),
        (CANONICAL + ".zarr", SERIES),
        (CANONICAL + ".zarr//", SERIES),
        (CANONICAL.replace("dicomwebs", "https"), SERIES),
        (CANONICAL.replace("h.example", "user:pa%40ss@H.Example"), SERIES),
        (CANONICAL + ".zarr/0/c/0/0/0", DICOMwebURL("dicomwebs", BASE, "1.2", "3.4", "0/c/0/0/0")),
        (CANONICAL + "/zarr.json", DICOMwebURL("dicomwebs", BASE, "1.2", "3.4", "zarr.json")),
        (CANONICAL + "/instances/1", DICOMwebURL("dicomwebs", BASE, "1.2", "3.4", "instances/1")),
        ("dicomweb://h", DICOMwebURL("dicomweb", "http://h")),
        ("dicomweb://h:80/studies", DICOMwebURL("dicomweb", "http://h")),
        ("http://h/dicom-web/studies/", DICOMwebURL("dicomweb", "http://h/dicom-web")),
        ("dicomweb://[::1]:80/x/studies/1", DICOMwebURL("dicomweb", "http://[::1]/x", "1")),
        ("dicomweb://h:1/x/studies/1/series", DICOMwebURL("dicomweb", "http://h:1/x", "1")),
        ("dicomweb://h/studies/9/x/studies/1", DICOMwebURL("dicomweb", "http://h/studies/9/x", "1")),
        (
            f"dicomweb://h/studies/{'1.' * 40}01/series/0.1",
            DICOMwebURL("dicomweb", "http://h", "1." * 40 + "01", "0.1"),
        ),
    ],
)
def test_spellings(url: str, parsed: DICOMwebURL) -> None:
    assert DICOMwebURL.parse(url) == parsed
    assert DICOMwebURL.parse(str(parsed)) == parsed


@pytest.mark.parametrize(
    "uid",
    [
        "5d41402abc4b2a76b9719d911017c592",
        "a3f5d0c2-9b7e-4b1e-8a57-0c4d0e9f1a2b",
        "1.2.840.1F.ABC",
        "1..2.",
        "qL8R4QIcQ_ZsRqOAbeRfcZhil-n1OBdo=",
        "1" * 128,
    ],
)
def test_hashes_and_the_like_address_series_too(uid: str) -> None:
    for series in (uid, f"{uid}.zarr"):
        parsed = DICOMwebURL.parse(f"dicomwebs://h/b/studies/{uid}/series/{series}/0/zarr.json")
        assert parsed == DICOMwebURL("dicomwebs", "https://h/b", uid, uid, "0/zarr.json")
        assert DICOMwebURL.parse(str(parsed)) == parsed


@pytest.mark.parametrize("host", ["pacs.hospital.", "a" * 63, "b\u00fccher.example", "[::1]", "10.0.0.1"])
def test_possible_hosts(host: str) -> None:
    assert DICOMwebURL.parse(f"https://{host}/x").base == f"https://{host}/x"


def test_canonical_spelling() -> None:
    assert str(SERIES) == CANONICAL
    assert str(DICOMwebURL.parse("https://h/x/studies/1/")) == "dicomwebs://h/x/studies/1"
    assert str(DICOMwebURL.parse(CANONICAL + ".zarr/0/zarr.json")) == CANONICAL + "/0/zarr.json"


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("dicomweb+https://h/studies/1/series/2", "dicomwebs://"),
        ("ftp://h/studies/1", "scheme is 'ftp'"),
        ("studies/1/series/2", "scheme is ''"),
        ("dicomwebs:///studies/1/series/2", "no host"),
        ("dicomwebs://h:port/studies/1", "port"),
        ("dicomwebs://h:99999/studies/1", "port"),
        ("dicomwebs://[h/studies/1", "cannot be read"),
        ("dicomwebs://h/studies/1?token=x", "query"),
        ("dicomwebs://h/studies/1#x", "fragment"),
        ("dicomwebs://h/studies/abc/series/2", "no study UID"),
        ("dicomwebs://h/studies/../series/2", "no study UID"),
        ("dicomwebs://h/studies/./series/2", "no study UID"),
        ("dicomwebs://h/studies/%2e%2e/series/2", "no study UID"),
        ("dicomwebs://h/studies/1%2F2/series/2", "no study UID"),
        ("dicomwebs://h/studies/1;2/series/2", "no study UID"),
        ("dicomwebs://h/studies/Hidden^1/series/2", "no study UID"),
        ("dicomwebs://h/studies/1/series/Hidden-Person", "no series UID"),
        (f"dicomwebs://h/studies/1/series/{'1' * 129}", "no series UID"),
        ("dicomwebs://h/studies/1/series/.zarr", "no series UID"),
        ("dicomwebs://h/studies/1/metadata", "neither"),
        ("dicomwebs://h/studies//series/2", "neither"),
        ("https://pacs..hospital/dicom-web", "no possible host"),
        ("dicomwebs://.hospital/studies/1", "no possible host"),
        (f"dicomweb://{'a' * 64}.hospital/studies/1", "no possible host"),
        (f"dicomweb://user:secret@{'ü' * 63}.hospital:8042", "no possible host"),
        ("dicomwebs://h/studies/1 /series/2", "unprintable"),
        ("dicomwebs://h/studies/1\n/series/2", "unprintable"),
        ("https://h/studies/1/series/2/instances/3/frames/1", "drop /instances/3/frames/1"),
        ("https://h/studies/1/series/2/metadata", "drop /metadata"),
    ],
)
def test_what_is_no_url_of_ours(url: str, message: str) -> None:
    with pytest.raises(InvalidURLError, match=message) as caught:
        DICOMwebURL.parse(url)
    assert caught.value.remedy


@pytest.mark.parametrize("tail", ["/studies/x", "?q=s3cret", ":port/x", "/studies/1/nothing"])
def test_messages_never_hold_passwords(tail: str) -> None:
    with pytest.raises(InvalidURLError) as caught:
        DICOMwebURL.parse(f"https://user:s3cret/?#x@h{tail}")
    assert "s3cret" not in str(caught.value)


@given(st.text(max_size=60) | st.lists(st.sampled_from(["studies", "series", "1.2", "a"]), max_size=6).map("/".join))
@example("studies")
def test_any_text_is_a_url_or_an_error_of_ours(text: str) -> None:
    for url in (text, f"dicomwebs://{text}", f"dicomweb://h/studies/{text}"):
        try:
            parsed = DICOMwebURL.parse(url)
        except InvalidURLError:
            continue
        assert DICOMwebURL.parse(str(parsed)) == parsed


@pytest.mark.parametrize(
    ("url", "bare", "user_info"),
    [
        ("https://h/x", "https://h/x", None),
        ("https://u:p@h/x", "https://h/x", ("u", "p")),
        ("https://u%40x:p%3A@h", "https://h", ("u@x", "p:")),
        ("https://u@h/x@y", "https://h/x@y", ("u", "")),
        ("https://u:p@q@h/x", "https://h/x", ("u", "p@q")),
        ("studies/1", "studies/1", None),
    ],
)
def test_user_info(url: str, bare: str, user_info: tuple[str, str] | None) -> None:
    assert split_user_info(url) == (bare, user_info)


def test_what_messages_show() -> None:
    assert safe_url("https://u:p@h/x?token=1#y") == "https://h/x"
    assert safe_url("https://u:p/q@h/x") == "https://h/x"
    assert host_of("https://u:p@h:1/x?y") == "h:1"


def test_origins() -> None:
    assert origin_of("https://H/x") == origin_of("https://h:443/y") == ("https", "h", 443)
    assert origin_of("http://h") != origin_of("https://h")


@pytest.mark.parametrize(
    ("host", "loopback"),
    [("localhost", True), ("127.0.0.1", True), ("127.8.9.1:80", True), ("[::1]:80", True)]
    + [(host, False) for host in ("localhost.evil", "127.0.0.1.evil", "10.0.0.1", "0.0.0.0", "[::2]", "h")],  # noqa: S104  # a host to refuse
)
def test_loopback(host: str, loopback: bool) -> None:  # noqa: FBT001  # a pytest parameter
    assert is_loopback(f"http://{host}/x") is loopback


def test_resources() -> None:
    assert series_metadata_url("http://h/b", "1", "2") == "http://h/b/studies/1/series/2/metadata"
    assert frames_url("http://h", "1", "2", "3", [4, 5]) == "http://h/studies/1/series/2/instances/3/frames/4,5"
    assert search_url("http://h", "studies", {}) == "http://h/studies"
    assert search_url("http://h", "studies", {"a": "b,c d"}) == "http://h/studies?a=b,c%20d"
    assert search_url("http://h", "studies", {"a": "D?e*", "b": "x&y=z+#^/"}) == (
        "http://h/studies?a=D?e*&b=x%26y%3Dz%2B%23%5E/"
    )


@pytest.mark.parametrize(
    "text",
    [
        CANONICAL,
        f"  {CANONICAL}\n",
        f'"{CANONICAL}"',
        f"'{CANONICAL}'\r\n",
        f"<{CANONICAL}>",
        f"\u201c{CANONICAL}\u201d",
        f"\ufeff{CANONICAL}\u200b\xa0",
        CANONICAL.replace("/series", "\n    /series"),
        CANONICAL.replace("web/", "web/ \r\n\t"),
    ],
)
def test_what_is_pasted_around_and_into_a_url_goes(text: str) -> None:
    assert pasted(text) == CANONICAL


def test_what_is_pasted_keeps_what_is_in_it() -> None:
    assert pasted("https://u:p'x@h/a b") == "https://u:p'x@h/a b"
