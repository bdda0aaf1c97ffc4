"""Requests signed for AWS: DICOMweb of HealthImaging, and buckets of S3 and of what speaks its protocol."""

from __future__ import annotations

import configparser
import os
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from dicomzarr.errors import AuthenticationError, InvalidOptionError
from dicomzarr.options.provider import reference_to
from dicomzarr.sources.http.credentials.bearer import StaysHere
from dicomzarr.sources.http.credentials.sigv4 import Keys, Scope, signed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from dicomzarr.options import Rejected

_HEALTH_IMAGING = re.compile(r"(?:dicom-|runtime-)?medical-imaging(?:-fips)?\.([a-z0-9-]+)\.amazonaws\.com(?:\.cn)?")
_S3 = re.compile(r"(?:.+\.)?s3(?:[.-](?!amazonaws)(?:dualstack\.)?([a-z0-9-]+))?\.amazonaws\.com(?:\.cn)?")
_ANYWHERE: Final = "us-east-1"


class AWSSignature(StaysHere):
    """Signs each request with keys of AWS (Signature Version 4); it is a `Provider`.

    Without keys, they are those of the environment, else of the shared credentials file, else what botocore finds where
    it is installed: roles, single sign-on, the container's or the machine's.

    Args:
        region: As ``eu-west-1``; None for that of the URL or of the environment.
        service: As ``s3`` or ``medical-imaging``; None for that of the URL.
        profile: In the shared files; None for that of the environment.
        keys: (access key, secret key) or (access key, secret key, session token); or a function that gives them, which
            is called for each request.
        clock: Gives the time in UTC.
    """

    expires_at = None
    """See `Provider.expires_at`: a signature is made for its request."""

    def __init__(
        self,
        region: str | None = None,
        service: str | None = None,
        profile: str | None = None,
        *,
        keys: tuple[str, ...] | Callable[[], tuple[str, ...]] | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.reference = None if keys else reference_to("aws", region=region, service=service, profile=profile)
        self._region = region
        self._service = service
        self._profile = profile
        self._given = keys
        self._clock = clock
        self._botocore: Any = None

    def headers(self, method: str, url: str, headers: Mapping[str, str]) -> Mapping[str, str]:
        """See `Provider.headers`; of the other headers none is signed, as proxies change them."""
        del headers
        return signed(method, url, {}, self._keys(), self.scope_of(url), self._clock())

    def rejected(self, response: Rejected) -> bool:
        """See `Provider.rejected`: worth while if others have come into the place of the keys."""
        return f"Credential={self._keys().access_key}/" not in response.sent.get("authorization", "")

    def scope_of(self, url: str) -> Scope:
        """What a signature for a URL has to be good for.

        Raises:
            InvalidOptionError: Nothing says which service it is.
        """
        host = urlsplit(url).hostname or ""
        service, region = self._service, self._region
        for name, form in (("medical-imaging", _HEALTH_IMAGING), ("s3", _S3)):
            found = form.fullmatch(host)
            if found:
                service, region = service or name, region or found[1]
        if service is None and not host.endswith(".amazonaws.com"):
            service = "s3"  # of somebody else
        if service is None:
            raise InvalidOptionError(
                f"Which service of AWS {host} is cannot be told from its name.",
                remedy='Name it: auth="aws:service=NAME,region=REGION".',
            )
        region = region or os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
        return Scope(region or _ANYWHERE, service)

    def _keys(self) -> Keys:
        given = self._given() if callable(self._given) else self._given
        if given:
            return Keys(*given)
        found = (None if self._profile else _of_environment()) or _of_file(self._profile) or self._of_botocore()
        if found is None:
            raise AuthenticationError(
                "There are no keys of AWS in this process's environment or in the shared credentials file.",
                remedy="Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE; for roles and single sign-on: "
                'pip install "dicomzarr[aws]".',
            )
        return found

    def _of_botocore(self) -> Keys | None:
        if self._botocore is None:
            try:
                from botocore.session import Session  # noqa: PLC0415  # an extra
            except ImportError:
                return None
            self._botocore = Session(profile=self._profile).get_credentials()
        if self._botocore is None:
            return None
        found = self._botocore.get_frozen_credentials()  # which are renewed by it
        return Keys(found.access_key, found.secret_key, found.token)


def _of_environment() -> Keys | None:
    access, secret = os.environ.get("AWS_ACCESS_KEY_ID"), os.environ.get("AWS_SECRET_ACCESS_KEY")
    return Keys(access, secret, os.environ.get("AWS_SESSION_TOKEN") or None) if access and secret else None


def _of_file(profile: str | None) -> Keys | None:
    """Keys that stand in the shared credentials file; what only names where keys come from is botocore's."""
    path = Path(os.environ.get("AWS_SHARED_CREDENTIALS_FILE") or "~/.aws/credentials")
    parser = configparser.RawConfigParser()
    try:
        parser.read(path.expanduser(), encoding="utf-8")
        section = parser[profile or os.environ.get("AWS_PROFILE") or "default"]
        return Keys(
            section["aws_access_key_id"], section["aws_secret_access_key"], section.get("aws_session_token") or None
        )
    except (KeyError, configparser.Error, OSError, ValueError, RuntimeError):
        return None
