"""Pass-through: each caller reads with credentials of their own, which go to the one upstream and nowhere else.

A caller has an upstream to themselves: what was opened, fetched or made for another is never seen. It lasts a while,
and whatever it holds is given only if the server let this caller read the series a moment ago.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cachetools import TTLCache

from dicomzarr.errors import AuthenticationError, PermissionDeniedError, UsageError
from dicomzarr.faces.gateway.refusals import Refusal, RefusedError, refusal_of
from dicomzarr.options.secrets import keyed_hash

if TYPE_CHECKING:
    from collections.abc import Mapping

    from multidict import MultiMapping

    from dicomzarr.errors import DicomZarrError
    from dicomzarr.faces.gateway.upstreams import Upstream, Upstreams

_CALLERS: Final = 256
_SECONDS: Final = 600.0
"""Callers that are remembered, and for how long."""

_LONGEST: Final = 8192
_CHALLENGE: Final = {"WWW-Authenticate": 'Basic realm="dicomzarr", charset="UTF-8", Bearer realm="dicomzarr"'}


class PassThrough:
    """The upstream as each caller sees it.

    Args:
        upstreams: One server.

    Raises:
        UsageError: There are several, or it is no server, or it has credentials or a cache on disk already.
    """

    def __init__(self, upstreams: Upstreams) -> None:
        self._name, self._upstream = next(iter(upstreams.by_name.items()))
        if len(upstreams.by_name) > 1:
            raise UsageError("Credentials of callers are passed to one server.", remedy="Serve each by a gateway.")
        if not self._upstream.is_far:
            raise UsageError(
                "A folder asks nobody for credentials: there is nothing to pass them to.",
                remedy="Leave pass-through away, or name a server.",
            )
        if not self._upstream.views[3].access.anonymous:
            raise UsageError(
                "Credentials are given, and those of callers are to be passed.", remedy="Leave one of them away."
            )
        if self._upstream.views[3].access.cache_dir is not None:
            # What is on disk is shown after a search, which some servers answer to those who may not read.
            raise UsageError(
                "A cache on disk is given, and credentials of callers are to be passed.",
                remedy="Leave one of them away: what each caller read is held in memory, for that caller.",
            )
        self._callers: TTLCache[str, Mapping[str, Upstream]] = TTLCache(_CALLERS, _SECONDS)

    def upstreams(self, headers: MultiMapping[str]) -> Mapping[str, Upstream]:
        """What a caller may ask, by name.

        Raises:
            RefusedError: They bring no credentials, or several.
        """
        given = headers.getall("Authorization", [])
        if not given or not given[0].strip():
            raise RefusedError(401, "Send the credentials that the server asks for.", _CHALLENGE)
        if len(given) > 1 or len(given[0]) > _LONGEST or not (given[0].isascii() and given[0].isprintable()):
            raise RefusedError(400, "The request has several credentials, or one that is too long or no text.")
        caller = keyed_hash(given[0])
        found = self._callers.get(caller)
        if found is None:
            found = self._callers[caller] = {self._name: self._upstream.of_caller(caller, given[0])}
        return found


def refusal_of_caller(error: DicomZarrError) -> Refusal:
    """How an error is answered where credentials are the caller's: what they may not, they are told as it was said."""
    refusal = refusal_of(error)
    if isinstance(error, AuthenticationError):
        return Refusal(401, refusal.sentence, refusal.kind, refusal.upstream_status, _CHALLENGE)
    if isinstance(error, PermissionDeniedError):
        return Refusal(403, refusal.sentence, refusal.kind, refusal.upstream_status)
    return refusal
