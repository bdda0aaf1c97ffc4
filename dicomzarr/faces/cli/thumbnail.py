"""``dicomzarr thumbnail``: a small PNG of an image."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dicomzarr.arrays.image import open_image
from dicomzarr.errors import UsageError
from dicomzarr.faces.cli.connection import series_target
from dicomzarr.faces.cli.measures import amount, by
from dicomzarr.faces.cli.png import png_path, write_png

if TYPE_CHECKING:
    from argparse import Namespace

    from dicomzarr.arrays.image import Image
    from dicomzarr.faces.cli.terminal import Terminal

_LABEL = "associated/label"


def run(arguments: Namespace, terminal: Terminal) -> None:
    """Read a small picture and write it.

    Raises:
        DicomZarrError: It cannot be had, or not be written.
    """
    path = png_path(arguments.output, force=arguments.force)
    target = series_target(arguments)
    # A label says who the patient is: only who names it gets it.
    asks_label = (arguments.image or "").startswith(_LABEL)
    with terminal.waiting(f"Reading the metadata at {target.host}"):
        image = choose(open_image(str(target.url), **target.options, associated_label=asks_label), arguments.image)
    with terminal.reading():
        pixels = image.thumbnail(arguments.size)
    write_png(path, pixels)
    terminal.note(f"{path}: {by(pixels.shape[1::-1])} pixels, {amount(path.stat().st_size)}")


def choose(first: Image, path: str | None) -> Image:
    """The image of a series at a path; the first where none is named.

    Raises:
        UsageError: There is no such image.
    """
    if path is None:
        return first
    images = {image.path or "/": image for image in (*first.images, *first.associated.values())}
    wanted = path.strip("/") or "/"
    if wanted not in images:
        raise UsageError(f"The series has no image {path}.", remedy=f"It has {', '.join(images)}.")
    return images[wanted]
