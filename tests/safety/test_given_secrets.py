"""Every function that is given secrets: none is in the frames, attributes or pickles of what it raises."""

from __future__ import annotations

import inspect
import pickle
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest
from aiohttp import web
from faults import fault
from radiology_opened import Opener
from radiology_volumes import volume

import dicomzarr
from dicomzarr import openslide
from dicomzarr.errors import AuthenticationError, DicomZarrError
from dicomzarr.faces.openslide.slide import OpenSlide

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from aiohttp.typedefs import Handler

SECRET: Final = "s3cr3t-w0rd"  # noqa: S105  # nobody's
OURS: Final = str(Path(dicomzarr.__file__).parent)
GIVEN: Final[dict[str, Callable[..., object]]] = {
    "open": dicomzarr.open,
    "search": lambda url, **options: dicomzarr.search(url.partition("/studies")[0], **options),
    "export": lambda url, **options: dicomzarr.export(url, "x.zarr", **options),
    "references": lambda url, **options: dicomzarr.references(url, "x.json", **options),
    "measurements": dicomzarr.measurements,
    "key_objects": dicomzarr.key_objects,
    "open_slide": openslide.open_slide,
    "OpenSlide": openslide.OpenSlide,
}
"""Functions of the package that take storage options."""


@pytest.fixture
def opened() -> Iterator[Opener]:
    with Opener() as opener:
        yield opener


async def quotes(request: web.Request, _handler: Handler) -> web.StreamResponse:
    """A refusal that tells what was sent, as some do."""
    sent = request.headers["authorization"]
    return web.Response(status=401, headers={"www-authenticate": f'Bearer error_description="{sent} is bad"'})


def held(error: BaseException) -> list[str]:
    """What an error reporter stores of an error."""
    found = [str(error), repr(vars(error)), repr(pickle.dumps(error))]
    each: BaseException | None = error
    while each is not None:
        for frame, _ in traceback.walk_tb(each.__traceback__):
            if frame.f_code.co_filename.startswith(OURS):
                found += [f"{frame.f_code.co_name}: {name} = {value!r}" for name, value in frame.f_locals.items()]
        each = each.__cause__ or each.__context__
    return found


@pytest.mark.parametrize("name", GIVEN)
def test_nothing_that_is_raised_holds_what_was_given(
    opened: Opener, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    url = opened.url(volume(), fault(quotes, on="any"))
    with pytest.raises(AuthenticationError) as caught:
        GIVEN[name](url, headers={"Authorization": f"Bearer {SECRET}"})
    assert not [text for text in held(caught.value) if SECRET in text]


def test_what_export_many_gives_back_holds_none_either(opened: Opener, tmp_path: Path) -> None:
    url = opened.url(volume(), fault(quotes, on="any"))
    (found,) = dicomzarr.export_many({url: tmp_path / "x.zarr"}, headers={"Authorization": f"Bearer {SECRET}"}).values()
    assert isinstance(found, DicomZarrError)
    assert not [text for text in held(found) if SECRET in text]


def test_no_public_function_is_left_out() -> None:
    public = [getattr(dicomzarr, name) for name in dicomzarr.__all__]
    takes = {each.__name__ for each in public if callable(each) and "storage_options" in _parameters(each)}
    assert takes - {"doctor"} <= {"open_image", *GIVEN}
    for each in (*public, OpenSlide.__init__):
        assert "storage_options" not in _parameters(each) or hasattr(each, "__wrapped__"), each


def _parameters(found: Any) -> set[str]:
    return set(inspect.signature(found).parameters) if inspect.isfunction(found) else set()
