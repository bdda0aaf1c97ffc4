"""What the checks of adapters read: the demo slide and the demo CT with its segments, on a server of this process."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dicomzarr.faces.demo.phantoms import phantoms
from dicomzarr.faces.demo.show import demo_archive, demo_url

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True)
class Demo:
    """URLs of series."""

    slide: str
    ct: str
    perfusion: str


@contextmanager
def demo_series() -> Iterator[Demo]:
    """Serve them."""
    found = {each.Modality: (each.StudyInstanceUID, each.SeriesInstanceUID) for each in phantoms()}
    with demo_archive() as server:
        yield Demo(demo_url(server), server.series_url(*found["CT"]), server.series_url(*found["MR"]))
