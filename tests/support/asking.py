"""Servers that are asked by other limits than the measured ones: then it does not count how fast this machine is."""

from __future__ import annotations

from waiting import SECONDS

from dicomzarr.session import opening
from dicomzarr.sources.dicomweb.tuning.limits import Limits
from dicomzarr.sources.dicomweb.tuning.server_profile import ServerProfile

PATIENT = Limits(patience=SECONDS)
"""A whole series is not given up for being late."""

ALWAYS_WHOLE = Limits(patience=SECONDS, worth_series=1e-9, worth_series_on_slow_line=1e-9)
"""Nor does it ever count as slower than single frames."""


def ask_by(url: str, limits: Limits) -> None:
    """Ask a server, by its URL or that of a series, by these limits, until what was learned of servers is forgotten."""
    base_url = url.partition("/studies/")[0].replace("dicomweb:", "http:")
    opening._endpoints.profiles[base_url] = ServerProfile(limits)
