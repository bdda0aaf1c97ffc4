"""What goes wrong on the side of the target, in one sentence without what may be a secret."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

from dicomzarr.errors import DicomZarrError, TargetError, TargetExistsError

if TYPE_CHECKING:
    from collections.abc import Iterator


def taken(name: str = "") -> TargetExistsError:
    """The error for a target where something is that nobody has said to overwrite.

    Args:
        name: Of what is there, if that is not the target itself.
    """
    return TargetExistsError(
        f"There is something at the target already{name and ': '}{name}.",
        remedy="Overwrite it (overwrite=True, --force), or name another target.",
    )


@contextmanager
def on_disk(what: str) -> Iterator[None]:
    """Turn what the operating system raises into a `TargetError`.

    Args:
        what: Is written or read, in words.

    Raises:
        TargetError: Instead of an ``OSError``.
    """
    try:
        yield
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else type(error).__name__
        raise TargetError(
            f"{what} could not be written or read: {reason}.", remedy="Make room or give access, and try again."
        ) from error


@contextmanager
def writing(what: str) -> Iterator[None]:
    """Turn what a store of fsspec or zarr raises into a `TargetError`.

    Args:
        what: Is written or read, in words.

    Raises:
        TargetError: Instead of whatever else.
    """
    try:
        with on_disk(what):
            yield
    except (DicomZarrError, MemoryError):
        raise
    except Exception as error:
        # Stores of others put URLs into their texts, with what opens them.
        raise TargetError(
            f"{what} could not be written or read: {type(error).__name__}.", remedy="See what the store says of it."
        ) from error
