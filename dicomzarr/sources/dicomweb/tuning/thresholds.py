"""By which numbers a server is asked, as they were measured on real ones."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Thresholds:
    """When finding out pays, what it may cost, and by how much what is faster must be."""

    learn_frames: int = 512
    """Frames in the queue for which finding out pays at once."""
    learn_after: float = 0.25
    """Seconds spent on requests after which it pays, however short the queue is; doubled after each failure."""
    patience: float = 2.0
    """Seconds, and usual durations of a request, for which readers wait so that what is measured counts. Also
    seconds, and times that single frames would take, that a whole series may take at most."""
    at_once: float = 0.01
    """Seconds for which large reads wait for the first single frame, which says whether the server is at hand."""
    keeps: float = 1800.0
    """Seconds after which what was found out is tried anew."""
    doubts: float = 60.0
    """The same for what failed in a way that may pass."""
    list_frames: int = 128
    """Frames that are asked for in lists to see how fast those come at the same time."""
    singles: int = 8
    """Requests of one frame on each connection to see how fast those come."""
    singles_before_series: int = 3
    """The same before a whole series is asked for."""
    hopeless: float = 3.0
    """How much faster a second single frame may come than the first, at most."""
    lists_at_once: float = 2.0
    """How much faster lists can come together than one alone, at most."""
    in_parallel: float = 1.6
    """How much faster they come together if they cost the server next to nothing."""
    slow_line: float = 25e6
    """Bytes a second above which gzip would be slower than the line."""
    worth_gzip: float = 1.2
    """How much faster gzip must be, for the work that it makes."""
    worth_series: float = 0.75
    """How fast a whole series must come, single frames being 1: it costs the server less, but touches more memory."""
    worth_series_on_slow_line: float = 1.25
    """The same where single frames may come compressed instead."""
    gathered_share: float = 0.05
    """Of the usual duration of a request, for which a short queue waits to become a list."""
    longest_gather: float = 0.02
    """Seconds of that at most."""
