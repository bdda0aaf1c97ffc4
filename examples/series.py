"""The series that the examples read: the one on the command line, else the slide that comes with dicomzarr."""

from __future__ import annotations

import argparse
from contextlib import contextmanager
from typing import TYPE_CHECKING

import dicomzarr
from dicomzarr.demo.show import demo_server, demo_url

if TYPE_CHECKING:
    from collections.abc import Iterator


def command_line(description: str | None) -> argparse.ArgumentParser:
    """A parser that takes the URL; an example adds what else it wants."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url", nargs="?", help="dicomweb(s)://HOST/BASE/studies/STUDY/series/SERIES")
    return parser


def slide_at(url: str, **storage_options: object) -> dicomzarr.Image:
    """The slide at a URL, in R, G and B; of other series the example would print nonsense."""
    image = dicomzarr.open(url, **storage_options)
    if image.levels[0].axes != ("c", "y", "x") or image.levels[0].shape[0] != 3:  # noqa: PLR2004  # R, G, B
        raise SystemExit(f"This example is for slides in colour. This series is: {image!r}")
    return image


@contextmanager
def series_url(url: str | None) -> Iterator[str]:
    """The URL as it was given, or that of the demo slide on a server that runs meanwhile."""
    if url is not None:
        yield url
        return
    with demo_server() as server:
        yield demo_url(server)
