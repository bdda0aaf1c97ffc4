"""URLs of series in a folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from dicomzarr.errors import InvalidURLError
from dicomzarr.session.locate import parse_series_url
from dicomzarr.sources.files.urls import FolderURL, path_of

SERIES = FolderURL("dicomfile:///data", "1.2", "3.4")


@pytest.mark.parametrize(
    ("url", "parsed"),
    [
        ("dicomfile:///data/studies/1.2/series/3.4", SERIES),
        ("dicomfile:///data//studies/1.2/series/3.4.zarr/", SERIES),
        (
            "dicomfile:///data/studies/1.2/series/3.4/0/zarr.json",
            FolderURL("dicomfile:///data", "1.2", "3.4", "0/zarr.json"),
        ),
        ("dicomfile:///data/studies/1.2", FolderURL("dicomfile:///data", "1.2")),
        ("dicomfile:///data/studies", FolderURL("dicomfile:///data")),
        ("dicomfile:///a b #1/x.dcm", FolderURL("dicomfile:///a b #1/x.dcm")),
        ("dicomfile://localhost/data/studies/1.2/series/3.4", SERIES),
        ("dicomfile:///studies/7/studies/1.2/series/3.4", FolderURL("dicomfile:///studies/7", "1.2", "3.4")),
        ("dicomfile:///data/studies/7/x.dcm", FolderURL("dicomfile:///data/studies/7/x.dcm")),
    ],
)
def test_spellings(url: str, parsed: FolderURL) -> None:
    assert FolderURL.parse(url) == parsed
    assert FolderURL.parse(str(parsed)) == parsed


@pytest.mark.parametrize(
    "url", ["dicomfile://data/studies/1", "dicomfile://", "file:///data", "dicomfile:///d/studies/.."]
)
def test_what_is_no_folder(url: str) -> None:
    with pytest.raises(InvalidURLError):
        FolderURL.parse(url)


def test_paths() -> None:
    assert path_of(FolderURL.of(Path("/data/x")).base) == Path("/data/x")
    assert path_of(FolderURL.of(Path("x")).base) == Path.cwd() / "x"
    assert path_of("dicomfile:///C:/data") == Path("C:/data")


@pytest.mark.parametrize("path", ["~nobody at all/x", Path("~nobody at all/x")])
def test_the_home_of_nobody(path: str | Path) -> None:
    with pytest.raises(InvalidURLError, match="is the home of nobody here"):
        parse_series_url(path, {})
