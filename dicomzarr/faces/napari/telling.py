"""Sentences for the user, as napari shows them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

_MOST: Final = 4
"""Sentences that are shown at once."""


def say(sentences: Sequence[str]) -> None:
    """Show what was left out of a series, or looks odd.

    Args:
        sentences: As of `Image.notices`; nothing is shown where there is none.
    """
    if not sentences:
        return
    from napari.utils.notifications import show_warning  # noqa: PLC0415  # heavy; whoever calls this has it

    more = [f"And {len(sentences) - _MOST} more: see image.notices."] if len(sentences) > _MOST else []
    show_warning("\n".join([*sentences[:_MOST], *more]))
