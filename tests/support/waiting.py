"""How long tests wait for what must come."""

from __future__ import annotations

SECONDS = 300.0
"""Nothing takes that long, however busy the machine is: what does, hangs. Pytest's own limit is longer."""
