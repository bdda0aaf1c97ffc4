"""The series that the examples read: the one on the command line, else one that comes with dicomzarr."""

from __future__ import annotations

import argparse
from contextlib import contextmanager
from typing import TYPE_CHECKING

import dicomzarr
from dicomzarr.demo.show import demo_server, demo_url
from dicomzarr.errors import DicomZarrError

if TYPE_CHECKING:
    from collections.abc import Iterator


def command_line(description: str | None) -> argparse.ArgumentParser:
    """A parser that takes the series; an example adds what else it wants."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url", nargs="?", help="a folder, a file, or https://HOST/BASE/studies/STUDY/series/SERIES")
    return parser


@contextmanager
def series(given: str | None, **storage_options: object) -> Iterator[dicomzarr.Image]:
    """The series that is given, or the demo slide on a server that runs meanwhile; a failure is one line of text."""
    try:
        if given is not None:
            yield dicomzarr.open(given, **storage_options)
            return
        with demo_server() as server:
            yield dicomzarr.open(demo_url(server), **storage_options)
    except DicomZarrError as error:
        raise SystemExit(str(error)) from None


def in_colour(image: dicomzarr.Image) -> dicomzarr.Image:
    """The same image, which must be a slide in R, G and B; of other series the example would print nonsense."""
    if image.levels[0].axes != ("c", "y", "x") or image.levels[0].shape[0] != 3:  # noqa: PLR2004  # R, G, B
        raise SystemExit(f"This example is for slides in colour. This series is: {image!r}")
    return image
