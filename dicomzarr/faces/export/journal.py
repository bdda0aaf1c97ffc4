"""The journal of an export: a file beside the target that says which blocks are written, and what was in them."""

from __future__ import annotations

import json
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

import fsspec
from fsspec.implementations.local import LocalFileSystem

from dicomzarr.errors import TargetError, UsageError
from dicomzarr.faces.export.failures import writing

if TYPE_CHECKING:
    from collections.abc import Mapping

SUFFIX: Final = ".journal"
_REMOVES: Final = "removes"
"""In the first line, as long as what was at the target before is not gone."""
_SECONDS: Final = 2.0
"""Between two writings of a journal on a store that cannot append."""


class Journal:
    """Notes blocks as they are done; not for several threads at once.

    Args:
        url: Where it lies.
        options: fsspec's, of the target.
        identity: What is exported and how, JSON: a journal of anything else is refused.
    """

    def __init__(self, url: str, options: Mapping[str, Any], identity: Mapping[str, Any]) -> None:
        self._fs, self._path = fsspec.core.url_to_fs(url, **options)
        self._appends = isinstance(self._fs, LocalFileSystem)
        self._identity = identity
        self._noted = 0.0
        self.digests: dict[str, str] = {}
        """Of blocks that are done, by their names."""
        self.removes = False
        """What was at the target before may be there still, or some of it."""

    @property
    def exists(self) -> bool:
        """Whether an export was begun."""
        return bool(self._fs.exists(self._path))

    def resume(self) -> None:
        """Read what an earlier run has done.

        Raises:
            UsageError: It was of another series or of another state of it, or with other options.
            TargetError: It cannot be read.
        """
        with writing("The journal of the export"):
            text = self._fs.cat_file(self._path).decode()
        head, *lines = text.split("\n")[:-1] or [""]  # the last line may have been cut off
        try:
            found = json.loads(head or "null")
            noted = [json.loads(line) for line in lines]
        except ValueError:
            raise TargetError(
                "The journal beside the target is damaged.", remedy="Remove it and the target, and export anew."
            ) from None
        self.removes = bool((found or {}).pop(_REMOVES, False))
        if found is not None and found != self._identity:
            differ = sorted(name for name in {*found, *self._identity} if found.get(name) != self._identity.get(name))
            raise UsageError(
                f"The target holds the beginning of another export: it differs in {', '.join(differ)}.",
                remedy="Export with the same options, or overwrite it, or name another target.",
            )
        self.digests = dict(noted)
        self._write()

    def begin(self, *, removes: bool = False) -> None:
        """Start with nothing done.

        Args:
            removes: Something else is at the target, which goes first; `begin` is called again when it is gone.

        Raises:
            TargetError: It cannot be written.
        """
        self.digests, self.removes = {}, removes
        self._write()

    def note(self, name: str, digest: str) -> None:
        """A block is done.

        Raises:
            TargetError: It cannot be written.
        """
        self.digests[name] = digest
        if self._appends:
            with writing("The journal of the export"), open(self._path, "a", encoding="utf-8") as file:  # noqa: PTH123  # fsspec's path
                file.write(json.dumps([name, digest]) + "\n")
        elif time.monotonic() - self._noted > _SECONDS:
            self._write()

    def close(self) -> None:
        """Nothing more is noted for now; what cannot be is done anew."""
        if not self._appends:
            with suppress(TargetError):
                self._write()

    def forget(self, names: list[str]) -> None:
        """These blocks are to be written anew."""
        for name in names:
            del self.digests[name]
        self._write()

    def _write(self) -> None:
        self._noted = time.monotonic()
        head = {**self._identity, _REMOVES: True} if self.removes else self._identity
        lines = [json.dumps(head), *(json.dumps(each) for each in self.digests.items())]
        data = ("\n".join(lines) + "\n").encode()
        with writing("The journal of the export"):
            if not self._fs.async_impl:  # object stores have no folders, and would make a bucket
                self._fs.makedirs(self._fs._parent(self._path), exist_ok=True)  # noqa: SLF001  # there is no public name
            if self._appends:
                self._fs.pipe_file(f"{self._path}.new", data)
                self._fs.mv(f"{self._path}.new", self._path)
            else:
                self._fs.pipe_file(self._path, data)


def journal_of(url: str) -> str:
    """Where the journal of a hierarchy lies."""
    return f"{url.rstrip('/')}{SUFFIX}"


def remove_journal(url: str, options: Mapping[str, Any]) -> None:
    """The export of a hierarchy is done; its journal may have been removed already.

    Args:
        url: The root of the hierarchy.
        options: fsspec's, of the target.

    Raises:
        TargetError: It could not be removed.
    """
    with writing("The journal of the export"):
        fs, path = fsspec.core.url_to_fs(journal_of(url), **options)
        fs.invalidate_cache()
        if fs.exists(path):
            fs.rm(path)
