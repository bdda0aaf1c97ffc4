"""What a frame may have of an attribute that tells it from others."""

from __future__ import annotations

from typing import TypeAlias

Value: TypeAlias = float | str | tuple[float, ...] | None
"""What a frame has of a dimension; None is a value too, as of the gradient direction without diffusion."""
