"""How a server is reached, and as whom."""

from __future__ import annotations

import json
from dataclasses import astuple, dataclass
from typing import TYPE_CHECKING, Any

from dicomzarr.options.limits import LIMITS, Limits
from dicomzarr.options.secrets import SECRETS, LeftBehind, Secrets, importable_name, keyed_hash, name_of_secret
from dicomzarr.runtime.lazy_attribute import lazy_attribute

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dicomzarr.options.secrets import Auth


@dataclass(frozen=True, eq=False, repr=False)
class Access:
    """How a server is reached, and as whom. It holds secrets, and shows none of them."""

    headers: Mapping[str, str]
    """Sent with every request, by their names in lower case."""
    auth: Auth | None
    """(user, password), a callable that gives headers, or the name of where each process finds them."""
    client: Any
    """A ``dicomweb_client.DICOMwebClient`` whose session settings and credentials are taken over."""
    ca: str | None
    """Certificate authorities that are trusted besides the system's."""
    cert: str | tuple[str, str] | None
    """The client's own certificate."""
    query: str
    """Parameters that go with every request for something of a series."""
    allow_insecure: bool
    """Credentials may travel over plain HTTP to another machine."""
    cache_dir: str | None
    """The directory of the cache on disk; None for no such cache."""
    cache_dir_bytes: int
    """Bytes that the directory may take."""
    index: str | None
    """Where the index of files is kept; None for the directory of the cache."""
    endpoint_url: str | None
    """The server of buckets; None for the usual one."""
    store: Any
    """What files are read out of; None for what their URL names."""
    fsspec_options: Mapping[str, Any] | None
    """Options for the fsspec filesystem that reads the files; None where we do."""
    timeout: float
    """Seconds without any progress after which a request fails."""
    own_host_only: bool
    """No redirect or reference of the server is followed to another host."""
    bulk_data_hosts: tuple[str, ...] = ()
    """Hosts beside the server that values are fetched from, which metadata name."""
    limits: Limits = LIMITS
    """What is taken from the server at most."""

    @lazy_attribute
    def secrets(self) -> Secrets | None:
        """What must not be written down; None where there is nothing of that kind."""
        held = {name: getattr(self, name) for name in SECRETS if getattr(self, name)}
        if importable_name(self.auth) is not None:
            del held["auth"]
        return Secrets.of(held) if held else None

    @lazy_attribute
    def identity(self) -> str:
        """An opaque name for the credentials, valid in this process, so that nobody is served with another's rights."""
        left = self.auth.reference if isinstance(self.auth, LeftBehind) else None
        secrets = self.secrets and self.secrets.reference
        named = (importable_name(self.auth), left, secrets, self.ca, self.cert)
        place = (self.endpoint_url, self.index, self.own_host_only, self.query, self.bulk_data_hosts)
        return keyed_hash(json.dumps([*named, *place, astuple(self.limits)]))

    @lazy_attribute
    def asker(self) -> str:
        """A name for who asks and for what the query chooses, the same in each process where a text can say it.

        It leads back to no secret but by trying, as slowly as `derived_key` makes that.
        """
        if isinstance(self.auth, LeftBehind):
            return self.auth.reference
        lasting = self.lasting_credentials
        if lasting is None:
            return self.identity
        if self.anonymous and not (self.cert or self.query or self.endpoint_url):
            return ""
        return name_of_secret(json.dumps([lasting, self.endpoint_url]))

    @property
    def anonymous(self) -> bool:
        """Whether there are no credentials."""
        return not self.headers and self.auth is None and self.client is None

    @lazy_attribute
    def lasting_credentials(self) -> str | None:
        """A text that the same credentials spell in every process; None where no text can.

        It holds secrets: for keyed hashes only.
        """
        auth = importable_name(self.auth) or self.auth
        is_text = auth is None or isinstance(auth, str | tuple)
        if self.client is not None or self.store is not None or self.fsspec_options is not None or not is_text:
            return None
        more = [self.cert, self.query] if self.cert or self.query else []
        return json.dumps([sorted(self.headers.items()), auth, *more])
