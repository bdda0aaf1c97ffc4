"""Attributes with binary content: DICOM JSON has numbers, base64 or an address (PS3.18 sections F.2.6 and F.2.7)."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Final

import msgspec
import numpy as np

from dicomzarr.errors import InvalidAttributeError

if TYPE_CHECKING:
    import numpy.typing as npt

Scalar = float | int | str | None
"""One element of a ``Value`` array; null keeps its place in a multi-value."""

_LOWEST_WORD: Final = -(2**15)
_HIGHEST_WORD: Final = 2**16 - 1


class BinaryLeaf(msgspec.Struct, gc=False, frozen=True):
    """An attribute of VR OB, OW, US, SS or UN: its content is there in one of three ways, or not at all."""

    values: tuple[Scalar, ...] = msgspec.field(name="Value", default=())
    """Words of 16 bits as numbers, with a sign or without."""
    inline: str | None = msgspec.field(name="InlineBinary", default=None)
    """Little-endian bytes in base64."""
    bulk_data_uri: str | None = msgspec.field(name="BulkDataURI", default=None)
    """Where the server says that it has the content; whether to ask there is for others to judge."""

    @property
    def present(self) -> bool:
        """The instance has the attribute, even where its content has to be fetched."""
        return bool(self.values or self.inline or self.bulk_data_uri)

    def octets(self, name: str, instance: str, fetched: bytes | None = None) -> npt.NDArray[np.uint8] | None:
        """The content as little-endian bytes, one for each element.

        Args:
            name: The attribute's keyword, for messages.
            instance: SOP Instance UID, for messages.
            fetched: The content, if somebody has fetched it.

        Returns:
            An array of one dimension that cannot be written to, or None where the content has to be fetched: from
            ``bulk_data_uri``, or, if there is none, as a part of the instance.

        Raises:
            InvalidAttributeError: The base64 is broken, or a number is none of 16 bits.
        """
        if fetched is not None:
            return np.frombuffer(fetched, np.uint8)
        if self.inline:
            return np.frombuffer(_decoded(self.inline, name, instance), np.uint8)
        if self.values:
            return np.frombuffer(_words(self.values, name, instance), np.uint8)
        return None


NO_BYTES = BinaryLeaf()
"""What stands for a binary attribute that is not there."""


def invalid_content(instance: str, name: str, problem: str) -> InvalidAttributeError:
    """The error for an attribute that turns stored values into others.

    Args:
        instance: SOP Instance UID.
        name: The attribute's keyword.
        problem: What is wrong with it, in words and numbers, but no text of the instance.
    """
    return InvalidAttributeError(
        f"Instance {instance}: {name} {problem}.", remedy="Stored values can be read without it."
    )


def _decoded(text: str, name: str, instance: str) -> bytes:
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except ValueError:  # binascii.Error is one
        raise invalid_content(instance, name, f"is no base64: {len(text)} characters") from None


def _words(values: tuple[Scalar, ...], name: str, instance: str) -> bytes:
    try:
        words = np.array(values, np.float64)
    except (ValueError, TypeError, OverflowError):
        raise invalid_content(instance, name, "should hold nothing but numbers") from None
    if not ((words >= _LOWEST_WORD) & (words <= _HIGHEST_WORD)).all() or (words % 1).any():
        raise invalid_content(instance, name, "should hold whole numbers of 16 bits")
    return words.astype(np.int32).astype("<u2").tobytes()
