"""What entries are called: keyed hashes, so that the database shows no UID, host or user. Pure."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import NamedTuple

from dicomzarr.options.secrets import derived_key

TAG_BYTES = 16
"""Length of every name and seal in the database."""


class FrameName(NamedTuple):
    """Names a frame on one server."""

    study: str
    """Study Instance UID."""
    series: str
    """Series Instance UID."""
    instance: str
    """SOP Instance UID."""
    number: int
    """Frame number, from 1."""


@dataclass(frozen=True, slots=True)
class Names:
    """Names within one server and one identity; whoever has other credentials makes others."""

    key: bytes = field(repr=False)
    """Hashes the names."""
    view: bytes
    """The tag that all entries of this server and identity carry."""

    @classmethod
    def make(cls, secret: bytes, base_url: str, credentials: str) -> Names:
        """The names for a server and an identity.

        Args:
            secret: Of the directory.
            base_url: The DICOMweb service.
            credentials: A text that only the same credentials spell.
        """
        # Slow: who steals a copy of the directory shall not be able to try passwords fast.
        key = derived_key(json.dumps([base_url, credentials]), secret)
        return cls(key, _tag(key, b"view", b""))

    def series(self, study: str, series: str) -> bytes:
        """The tag of a series, which is also the name of its metadata."""
        return _tag(self.key, b"series", f"{study}\0{series}".encode())

    def version(self, validators: tuple[str | None, ...], body: bytes) -> bytes:
        """What tells frames of one state of a series from those of another.

        Args:
            validators: What HTTP calls the state.
            body: The metadata, in an order of their own.
        """
        return _tag(self.key, b"version", json.dumps(validators).encode() + b"\0" + body)

    def frame(self, name: FrameName, version: bytes) -> bytes:
        """The name of a frame in one state of its series."""
        # The instance comes last: unlike the others, nobody has checked what its UID consists of.
        text = f"{name.number}\0{name.study}\0{name.series}\0{name.instance}"
        return _tag(self.key, b"frame", version + text.encode(errors="surrogatepass"))


def seal(secret: bytes, name: bytes, facts: bytes, body: bytes) -> bytes:
    """A checksum of an entry and of its name, so that no other entry's bytes pass for it."""
    digest = blake2b(name, key=secret, digest_size=TAG_BYTES, person=b"entry")
    digest.update(len(facts).to_bytes(8, "little"))
    digest.update(facts)
    digest.update(body)
    return digest.digest()


def _tag(key: bytes, kind: bytes, text: bytes) -> bytes:
    return blake2b(text, key=key, digest_size=TAG_BYTES, person=kind).digest()
