"""Everything in which a series shows: documents, texts, files, messages."""

from __future__ import annotations

import logging
import pickle
import sqlite3
import traceback
import warnings
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

import dask.base
import fsspec
import xarray as xr
from opened import group_at

from dicomzarr.faces import cli
from dicomzarr.omezarr.attributes import dicomzarr_attributes
from dicomzarr.omezarr.hierarchy import Directory, Document
from dicomzarr.runtime.home_loop import run_sync

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import pytest

    from dicomzarr.arrays.image import Image
    from dicomzarr.omezarr.series_store import SeriesStore


def documents(store: SeriesStore, key: str = "") -> Iterator[bytes]:
    """Every document of the virtual store."""
    listed = store.locate(key)
    for name in listed.names() if isinstance(listed, Directory) else ():
        below = f"{key}/{name}" if key else name
        found = store.locate(below)
        if isinstance(found, Document):
            value = run_sync(store.get, below)
            assert value is not None
            yield value
        elif name != "c":
            yield from documents(store, below)


def spellings(image: Image) -> Iterator[object]:
    """An image, its levels and all that they are made of, as text and as pickles."""
    for each in (*image.images, *image.associated.values(), *image.labels.values()):
        yield from (repr(each), each._repr_html_(), each.url, each.path, each.name, each.axes, each.channels)
        said = dicomzarr_attributes(each.plan)
        yield from (repr(each.plan), said, each.affine, pickle.dumps(each), dask.base.tokenize(each))
        for level in each.levels:
            yield from (repr(level), pickle.dumps(level), level.axes, level.scale, level.to_dask().name)
    yield from image.notices
    yield repr(image.store.plan)


def datasets(url: str, image: Image, **storage_options: Any) -> Iterator[object]:
    """What xarray shows: attributes, coordinates, encodings."""
    trees = [image.to_xarray(), xr.open_datatree(url, engine="dicomzarr", storage_options=storage_options)]
    for tree in trees:
        yield from (repr(tree), tree._repr_html_())
        for node in tree.subtree:
            yield from (node.path, node.attrs, node.encoding)
            for name, variable in node.variables.items():
                yield from (name, variable.attrs, variable.encoding)
                if name in node.coords:
                    yield variable.values.tolist()


def paths(url: str, **storage_options: Any) -> Iterator[object]:
    """What a filesystem lists, and how it names itself."""
    fs, path = fsspec.url_to_fs(url, **storage_options)
    study = path.rpartition("/series/")[0]
    for above in (study.rpartition("/studies/")[0] + "/studies", study, f"{study}/series", path):
        yield from (fs.ls(above), fs.ls(above, detail=False), fs.info(above))
    yield from (fs.find(path, maxdepth=2), fs.glob(f"{path}/*"), repr(fs), fs.to_json(), pickle.dumps(fs))
    group = group_at(url, storage_options=storage_options)
    yield from (repr(group), dict(group.attrs), group.tree(), repr(group.store), pickle.dumps(group.store))


def commands(url: str, capsys: pytest.CaptureFixture[str]) -> Iterator[str]:
    """What the command line says, for people and for programs."""
    study = url.rpartition("/series/")[0]
    server = study.rpartition("/studies/")[0]
    for words in (("info", url), ("ls", url), ("ls", study), ("ls", server)):
        for form in ((), ("--json",)):
            assert cli.main([*words, *form]) == 0
            yield from capsys.readouterr()


def files(directory: Path) -> Iterator[object]:
    """Names of files and folders, and all of a database but the bodies, which are what the server sent."""
    for path in directory.rglob("*"):
        yield str(path.relative_to(directory))
        if path.is_file() and path.read_bytes()[:6] == b"SQLite":
            with closing(sqlite3.connect(path)) as connection:
                yield from connection.execute("SELECT * FROM sqlite_master").fetchall()
                yield from connection.execute("SELECT * FROM entries").fetchall()
                yield from connection.execute("SELECT seal, facts FROM bodies").fetchall()


@contextmanager
def overheard() -> Iterator[list[str]]:
    """Every line that any logger writes, at any level, and every warning."""
    said: list[str] = []

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            said.append(f"{record.name} {record.getMessage()} {record.args} {record.exc_text}")

    listener = Listener(level=1)
    names = ["", *logging.root.manager.loggerDict]
    levels = {name: logging.getLogger(name).level for name in names}
    logging.root.addHandler(listener)
    try:
        for name in names:
            logging.getLogger(name).setLevel(1)
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            yield said
        said += [str(each.message) for each in warned]
    finally:
        logging.root.removeHandler(listener)
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)


def all_of(error: BaseException) -> Iterator[str]:
    """An error as it is shown, and those before it, whether they are shown or not."""
    yield "".join(traceback.format_exception(error))
    yield from (str(error), repr(error), repr(error.args), repr(getattr(error, "__notes__", "")))
    for before in (error.__cause__, error.__context__):
        if before is not None:
            yield from all_of(before)
