"""A file that a server sent and that is no such file is a reply that is none."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from dicomzarr.errors import InvalidFileError, InvalidReplyError, TruncatedFileError, TruncatedReplyError

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def as_reply_errors() -> Iterator[None]:
    """Raise what is wrong with a file as what is wrong with the reply that held it.

    Raises:
        InvalidReplyError: It is no Part-10 file, or broken.
        TruncatedReplyError: It ends early.
    """
    try:
        yield
    except InvalidFileError as error:
        kind = TruncatedReplyError if isinstance(error, TruncatedFileError) else InvalidReplyError
        raise kind(*error.args, remedy=error.remedy) from None
