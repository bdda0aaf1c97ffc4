"""Servers that are asked by other thresholds than the measured ones: no matter how fast this machine is."""

from __future__ import annotations

from waiting import SECONDS

from dicomzarr.sources.dicomweb.source import profile_of
from dicomzarr.sources.dicomweb.tuning.thresholds import Thresholds

PATIENT = Thresholds(patience=SECONDS)
"""A whole series is not given up for being late."""

ALWAYS_WHOLE = Thresholds(patience=SECONDS, worth_series=1e-9, worth_series_on_slow_line=1e-9)
"""Nor does it ever count as slower than single frames."""

NOT_LEARNING = Thresholds(learn_frames=2**40, learn_after=1e9)
"""Lists are as long as they may be, for nothing else is tried."""


def ask_by(url: str, thresholds: Thresholds) -> None:
    """Ask a server, which a URL names, by these thresholds, until what was learned of servers is forgotten."""
    base_url = url.partition("/studies/")[0].replace("dicomweb:", "http:")
    profile_of(base_url).thresholds = thresholds
