"""``dicomzarr demo``: shows on a small slide, without a network, what there is to gain."""

from __future__ import annotations

import sys
import threading
import time
import webbrowser
from contextlib import ExitStack
from typing import TYPE_CHECKING

import zarr
from rich.columns import Columns
from rich.padding import Padding
from rich.text import Text

from dicomzarr.arrays.image import open_image
from dicomzarr.faces.cli.measures import amount, by
from dicomzarr.faces.cli.pictures import heat_map, picture
from dicomzarr.faces.cli.png import png_path, write_png
from dicomzarr.faces.demo.show import COLOURFUL, demo_archive, demo_server, demo_url, measure_tissue
from dicomzarr.faces.gateway.server import Gateway, Settings
from dicomzarr.faces.gateway.upstreams import Upstream
from dicomzarr.session.kinds import parse_url

if TYPE_CHECKING:
    from argparse import Namespace
    from pathlib import Path

    from dicomzarr.arrays.image import Image
    from dicomzarr.faces.cli.terminal import Terminal
    from dicomzarr.faces.demo.server import DICOMwebServer

DEFAULT_OUTPUT = "dicomzarr-demo.png"
_THUMBNAIL = 512
_PICTURE_WIDTH = 28

_NEXT = (
    "dicomzarr serve https://HOST/BASE --open",
    "dicomzarr ls https://HOST/BASE",
    "dicomzarr info https://HOST/BASE/studies/<Study>/series/<Series>",
    """python -c "import zarr; print(zarr.open('dicomwebs://HOST/BASE/studies/...', mode='r').tree())\"""",
)


def run(arguments: Namespace, terminal: Terminal) -> None:
    """Serve, open, measure and show the demo slide.

    Raises:
        DicomZarrError: The thumbnail cannot be written.
    """
    if arguments.open:
        _show_page(terminal)
        return
    # The default is a name of our own, which a second run may replace.
    output = png_path(arguments.output or DEFAULT_OUTPUT, force=arguments.force or not arguments.output)
    with demo_server() as server:
        image = _open(server, terminal)
        _measure(image, terminal)
        _write(image, output, terminal)
        _count(server, terminal)
    terminal.print("", _heading("Look at it in the browser, and at a CT, a perfusion MR and fluorescence"))
    terminal.print_line(Text("  dicomzarr demo --open"))
    terminal.print("", _heading("Next, with a server of yours"))
    for line in _NEXT:
        terminal.print_line(Text(f"  {line}"))


def _show_page(terminal: Terminal) -> None:
    """Show the page of a gateway before a small archive, until interrupted."""
    with ExitStack() as running:
        with terminal.waiting("Making a CT, an MR and fluorescence"):
            server = running.enter_context(demo_archive())
        upstream = Upstream("demo", parse_url(_dicomweb(server.url)), {"labels": True})
        gateway = running.enter_context(Gateway([upstream], Settings(port=0)))
        terminal.print_line(f"{gateway.url}/")
        sys.stdout.flush()
        terminal.note("A slide, a CT with segments, a perfusion MR and fluorescence. Ctrl+C ends it.")
        terminal.note(f"For Python, napari and dicomzarr ls, the server behind it is {_dicomweb(server.url)}")
        webbrowser.open(f"{gateway.url}/")
        threading.Event().wait()


def _dicomweb(url: str) -> str:
    return url.replace("http://", "dicomweb://", 1)


def _open(server: DICOMwebServer, terminal: Terminal) -> Image:
    terminal.print(_heading("A slide on a DICOMweb server in this process, opened by its URL"))
    terminal.print_line(Text(f"  {demo_url(server)}"))
    group = zarr.open_group(demo_url(server), mode="r")
    terminal.print("", _heading("What zarr sees"), _indented(Text(str(group.tree()).strip())))
    image = open_image(demo_url(server))
    levels = ", ".join(f"{level.scale[-1]:g}" for level in image.levels)
    terminal.print(_indented(Text(f"{len(image.levels)} levels of {levels} µm a pixel; one chunk is one DICOM frame")))
    return image


def _measure(image: Image, terminal: Terminal) -> None:
    level = image.levels[0]
    started = time.perf_counter()
    with terminal.waiting("Measuring tissue with dask"):
        tissue = measure_tissue(level)
    seconds = time.perf_counter() - started
    terminal.print(
        "",
        _heading("Tissue, measured with dask"),
        _indented(
            Text.assemble(
                (f"{tissue.whole:.1%}", "bold"),
                f" of level 0 is tissue: pixels whose R, G and B differ by more than {COLOURFUL}.\n"
                f"{by(level.shape)} values read over HTTP, decoded and counted in {seconds:.1f} s. "
                "Percent of each tile:",
            )
        ),
        "",
    )
    colours = terminal.out.color_system in {"256", "truecolor"}
    shown = [heat_map(tissue.tiles, tall=colours)]
    if colours:
        shown.append(picture(image.thumbnail(2 * _PICTURE_WIDTH), _PICTURE_WIDTH))
    terminal.print(_indented(Columns(shown, padding=(0, 4))))


def _write(image: Image, output: Path, terminal: Terminal) -> None:
    pixels = image.thumbnail(_THUMBNAIL)
    write_png(output, pixels)
    size = amount(output.stat().st_size)
    terminal.print("", _heading("A thumbnail"))
    terminal.print_line(Text(f"  {output.resolve()}  ({by(pixels.shape[1::-1])} pixels, {size})"))


def _count(server: DICOMwebServer, terminal: Terminal) -> None:
    asked = [request.resource for request in server.requests]
    terminal.print(
        _indented(Text(f"All of it took {len(asked)} requests, {asked.count('metadata')} of them for metadata."))
    )


def _heading(text: str) -> Text:
    return Text(text, style="bold")


def _indented(renderable: Text | Columns) -> Padding:
    return Padding(renderable, (0, 0, 0, 2), expand=False)
