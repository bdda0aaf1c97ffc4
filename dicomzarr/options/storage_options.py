"""Storage options: one frozen value that says how a series is reached and read.

``headers``, ``auth`` and ``client`` are secrets. They never show in ``repr`` and never leave the
process: a public spelling
(`StorageOptions.to_public`) holds a reference to them, which only the process that made it can
resolve.

An option is a field here, one in `Access`, `Tuning` or `View`, and how it is read in `parsing`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, fields
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from dicomzarr.options.access import Access
from dicomzarr.options.limits import LIMITS, Limits
from dicomzarr.options.parsing import parse_options
from dicomzarr.options.provider import is_unknown_name
from dicomzarr.options.secrets import (
    LOCAL,
    SECRETS,
    LeftBehind,
    importable_name,
    is_local,
    keyed_hash,
    with_local_secrets,
)
from dicomzarr.options.tuning import Tuning
from dicomzarr.options.view import View
from dicomzarr.runtime.lazy_attribute import lazy_attribute

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from dicomzarr.options.secrets import JSON, Auth


@dataclass(frozen=True, eq=False, repr=False)
class StorageOptions:
    """How a server is reached and how its series are read. Make one with `parse`, which validates."""

    headers: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """Headers sent with every request; they count as credentials. Names are in lower case."""
    auth: Auth | None = None
    """(user, password), a callable that gives headers, a `dicomzarr.credentials.Provider`, or what each process that
    reads finds by itself: ``"module:qualname"`` of a callable, ``"env:TOKEN"`` or ``"env:USER,PASSWORD"`` (environment
    variables), ``"netrc"``, or the name of a provider, as ``"google"``."""
    client: Any = None
    """A ``dicomweb_client.DICOMwebClient`` whose session settings and credentials are taken over."""
    ca: str | None = None
    """A PEM file, or a folder, of certificate authorities that are trusted besides the system's."""
    cert: str | tuple[str, str] | None = None
    """The client's own certificate for mutual TLS: a PEM file, or (certificate, key)."""
    query: str = ""
    """Parameters that go with every request for something of a series, as ``{"imageSetId": ID}``; no secrets."""
    allow_insecure: bool = False
    """Credentials may travel over plain HTTP to another machine."""
    bulk_data_hosts: tuple[str, ...] = ()
    """Hosts, with a port where it is unusual, that values named by the metadata are fetched from, beside the server."""
    own_host_only: bool = False
    """Follow no redirect or reference of the server to another host, port or scheme."""
    timeout: float = 60.0
    """Seconds without any progress after which a request fails."""
    limits: Limits = LIMITS
    """Bounds against hostile or broken servers and files, by name, as ``{"instances": 100_000}``. See Limits."""
    max_connections: int = 8
    """Requests in flight to one server."""
    frames_per_request: int = 256
    """The most frames that one request asks for."""
    cache_bytes: int = 256 * 2**20
    """Bytes of encoded frames that are kept in memory."""
    cache_dir: str | None = None
    """A directory for a cache on disk, shared by processes; True for `default_cache_dir`. See Caching."""
    cache_dir_bytes: int = 10 * 2**30
    """Bytes that the cache on disk may take, for all servers and identities together."""
    index: str | None = None
    """Where it is kept what files hold: ``"beside"`` them, or the path of a file; by default in ``cache_dir``."""
    endpoint_url: str | None = None
    """The server of ``s3://`` and ``gs://`` buckets, if not the usual one; ``{bucket}`` in it stands for the name."""
    store: Any = None
    """An obstore store, or an fsspec filesystem, that files are read out of."""
    fsspec_options: Mapping[str, Any] | None = None
    """Options for the fsspec filesystem of the URL, which then reads the files: credentials for a bucket, say."""
    values: str = "stored"
    """Which pixel values the arrays hold: the ``stored`` ones, those rescaled to the units of the ``modality``, the
    ``color`` of a palette where there is one, or of PET the ``suv`` by body weight."""
    icc: str | None = None
    """``"srgb"`` to turn the colours of slides into sRGB by their ICC profiles; needs ``dicomzarr[color]``."""
    virtual_levels: bool = False
    """Show the levels that a slide lacks, made of the next finer ones while these are decoded, down to 512 pixels."""
    associated_label: bool = False
    """Show a slide's label image, which says who the patient is."""
    labels: bool = False
    """Look in the study for segmentations of the series, and show those on the grid of an image as its labels."""
    include_phi: bool = False
    """Show attributes that identify the patient."""
    zarr_format: int = 3
    """Which documents and keys a series has: 3 for Zarr v3 and OME-Zarr 0.5, 2 for Zarr v2 and OME-Zarr 0.4."""

    @classmethod
    def parse(cls, **options: Any) -> StorageOptions:
        """Validate storage options as a user or a public spelling gives them.

        Args:
            **options: The fields of this class, and ``credentials``, a reference that `to_public`
                made.

        Raises:
            InvalidOptionError: An option is unknown, or has an impossible type or value.
            CredentialsUnavailableError: ``credentials`` was made by another process.
        """
        reference = options.pop("credentials", None)
        return cls(**parse_options(options if reference is None else with_local_secrets(options, reference)))

    @lazy_attribute
    def access(self) -> Access:
        """How the server is reached, and as whom."""
        return Access(**_shared(self, Access))

    @lazy_attribute
    def tuning(self) -> Tuning:
        """How much is asked for and held."""
        return Tuning(**_shared(self, Tuning))

    @lazy_attribute
    def view(self) -> View:
        """What of a series is shown, and how."""
        return View(**_shared(self, View))

    def to_public(self) -> dict[str, JSON]:
        """The options that differ from the default, as JSON, with references in the place of secrets.

        `parse` takes it back; in another process only when it holds no ``credentials`` reference.
        """
        public: dict[str, JSON] = {
            item.name: _spelled(getattr(self, item.name))
            for item in fields(self)
            if item.name not in SECRETS and getattr(self, item.name) != item.default
        }
        named = importable_name(self.auth)
        if named is not None:
            public["auth"] = named
        if isinstance(self.auth, LeftBehind):
            public["credentials" if self.auth.reference.startswith(LOCAL) else "auth"] = self.auth.reference
        elif self.access.secrets is not None:
            public["credentials"] = self.access.secrets.reference
        return public

    @lazy_attribute
    def identity(self) -> str:
        """An opaque name for these options and credentials, valid in this process."""
        return keyed_hash(json.dumps(self.to_public(), sort_keys=True))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, StorageOptions) and self.identity == other.identity

    def __hash__(self) -> int:
        return hash(self.identity)

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={value!r}" for name, value in self.to_public().items())
        return f"StorageOptions({shown})"

    def __reduce__(self) -> tuple[Callable[..., StorageOptions], tuple[dict[str, JSON]]]:
        return (_rebuild, (self.to_public(),))


def _spelled(value: Any) -> JSON:
    """An option as JSON, which `parse` takes."""
    if isinstance(value, Limits):
        named = {item.name: (getattr(value, item.name), item.default) for item in fields(value)}
        return {name: own for name, (own, usual) in named.items() if own != usual}
    spelled: JSON = list(value) if isinstance(value, tuple) else value
    return spelled


def _shared(options: StorageOptions, kind: type[Access | Tuning | View]) -> dict[str, Any]:
    """Those of the options that are fields of a kind too."""
    return {item.name: getattr(options, item.name) for item in fields(kind)}


def _rebuild(public: dict[str, JSON]) -> StorageOptions:
    reference, auth = public.get("credentials"), public.get("auth")
    lost = reference if isinstance(reference, str) and not is_local(reference) else None
    if lost is None and isinstance(auth, str) and is_unknown_name(auth):
        lost = auth
    if lost is not None:
        others: dict[str, Any] = {name: value for name, value in public.items() if name not in {"credentials", "auth"}}
        return StorageOptions.parse(**others, auth=LeftBehind(lost))
    return StorageOptions.parse(**public)
