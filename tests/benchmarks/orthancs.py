"""Real Orthancs: the one of this machine, and one in the root folder of another system."""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pydicom
from measuring import Totals
from pydicom.encaps import encapsulate
from pydicom.uid import generate_uid
from slide_server import SERIES, STUDY, TILE, full_tiles

from dicomzarr.demo.slide import demo_files

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))  # the modules of the tests
import orthanc  # found there

if TYPE_CHECKING:
    from collections.abc import Iterator

OrthancMissingError = orthanc.OrthancMissingError


@dataclass(frozen=True)
class RunningOrthanc:
    """One, and what it has done."""

    server: orthanc.Orthanc
    process: int

    @property
    def url(self) -> str:
        """Of the series."""
        return self.server.series_url(STUDY, SERIES)

    @property
    def version(self) -> str:
        """As it says."""
        return str(self.server.get_json("/system")["Version"])

    def totals(self) -> Totals:
        """Its CPU; it does not count what it sends."""
        fields = Path(f"/proc/{self.process}/stat").read_text().rpartition(")")[2].split()
        ticks = int(fields[11]) + int(fields[12])  # utime and stime
        return Totals(None, None, ticks / os.sysconf("SC_CLK_TCK"))


@contextlib.contextmanager
def running(root: Path | None = None) -> Iterator[RunningOrthanc]:
    """Start one.

    Args:
        root: The root folder of a system that has Orthanc and its DICOMweb plugin; None for this one.

    Raises:
        OrthancMissingError: There is none.
    """
    command, plugin = orthanc.find_orthanc() if root is None else _inside(root)
    with tempfile.TemporaryDirectory(dir=root / "tmp" if root else None) as name:
        folder = Path(name)
        seen = folder if root is None else Path("/") / folder.relative_to(root)
        port = orthanc.free_port()
        configuration = orthanc._configuration(port, seen, plugin, None)
        (folder / "orthanc.json").write_text(json.dumps(configuration))
        enter = [] if root is None else ["chroot", str(root)]
        log = folder / "orthanc.log"
        with log.open("wb") as output:
            process = subprocess.Popen(  # noqa: S603  # our own command line
                [*orthanc._dies_with_parent(), *enter, command, str(seen / "orthanc.json")],
                stdout=output,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
            )
        try:
            server = orthanc.Orthanc(port)
            orthanc._wait_until_ready(server, process, log)
            yield RunningOrthanc(server, process.pid)
        finally:
            orthanc._end(process)


def _inside(root: Path) -> tuple[str, Path]:
    command = "/usr/sbin/Orthanc"
    plugins = [Path(folder) / orthanc.PLUGIN_NAME for folder in orthanc.PLUGIN_FOLDERS]
    plugin = next((path for path in plugins if (root / path.relative_to("/")).exists()), None)
    if plugin is None or not (root / command[1:]).exists():
        raise OrthancMissingError(f"There is no Orthanc with its DICOMweb plugin in {root}")
    return command, plugin


def big_instance(tiles: int) -> bytes:
    """A Part-10 file of ``tiles`` x ``tiles`` JPEG frames: 64 x 64 make 46 MB."""
    dataset = pydicom.dcmread(demo_files()[0], stop_before_pixels=True)
    pool = full_tiles()
    dataset.TotalPixelMatrixRows = dataset.TotalPixelMatrixColumns = tiles * TILE
    dataset.NumberOfFrames = tiles * tiles
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid(
        entropy_srcs=["big", str(tiles)]
    )
    dataset.PixelData = encapsulate([pool[number % len(pool)] for number in range(1, tiles * tiles + 1)])
    dataset["PixelData"].VR = "OB"
    file = io.BytesIO()
    dataset.save_as(file, enforce_file_format=True)
    return file.getvalue()
