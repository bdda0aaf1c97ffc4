"""Segments of codestreams, which markers begin, and boxes of files: how many are looked at."""

from __future__ import annotations

from typing import Final

MOST_SEGMENTS: Final = 10_000
"""Marker segments, tables or boxes of one codestream that are looked at: real ones have a hundred."""
