"""A real tiny-pacs-dicomweb server for the tests: searches, uploads and whole instances, and nothing else.

It needs another pydantic than the validators of OME-Zarr do, hence an interpreter of its own:
``python -m venv DIR && DIR/bin/pip install tiny-pacs-dicomweb waitress``, and ``DICOMZARR_TINY_PACS=DIR/bin/python``.
"""

from __future__ import annotations

import http.client
import os
import subprocess
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from slides_model import part10
from waiting import SECONDS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from pydicom import Dataset

HOST = "127.0.0.1"
BOUNDARY = "upload"

# Without the part of it that speaks DIMSE, which would listen on every interface.
SCRIPT = """
import sys
answer, sys.stdout = sys.stdout, sys.stderr  # it logs to where the answer shall be
from tiny_pacs import config
from tiny_pacs.server import Server

components = {
    "Database": {"on": True, "db_name": sys.argv[1] + "/index.db", "mode": "rwc"},
    "PACS": {"on": True},
    "HttpServer": {"on": True, "host": "127.0.0.1", "port": 0},
    "DICOMWeb": {"on": True},
}
server = Server(config.Config(components=components))
server.bus.start()
http = next(each for each in server.components if type(each).__name__ == "HttpServer")
print(http.web_port, file=answer, flush=True)
sys.stdin.read()
server.bus.stop()
"""


@dataclass(frozen=True)
class TinyPACS:
    """A running server; made by :func:`running_tiny_pacs`."""

    port: int

    def series_url(self, study: str, series: str) -> str:
        return f"dicomweb://{HOST}:{self.port}/dicomweb/studies/{study}/series/{series}"

    def load(self, datasets: Sequence[Dataset]) -> None:
        """Upload by STOW-RS (PS3.18 section 10.5)."""
        head = f"--{BOUNDARY}\r\nContent-Type: application/dicom\r\n\r\n".encode()
        parts = b"".join(head + part10(dataset) + b"\r\n" for dataset in datasets)
        content_type = f'multipart/related; type="application/dicom"; boundary={BOUNDARY}'
        with closing(http.client.HTTPConnection(HOST, self.port, timeout=SECONDS)) as connection:
            body = parts + f"--{BOUNDARY}--\r\n".encode()
            connection.request("POST", "/dicomweb/studies", body, {"Content-Type": content_type})
            response = connection.getresponse()
            assert response.status == 200, response.read()


def tiny_pacs_python() -> str | None:
    """The interpreter that has tiny-pacs-dicomweb, or None."""
    return os.environ.get("DICOMZARR_TINY_PACS") or None


@contextmanager
def running_tiny_pacs(python: str, folder: Path) -> Iterator[TinyPACS]:
    """Start the server on a free port of the loopback, and end it afterwards."""
    log = folder / "log"
    with (
        log.open("wb") as errors,
        subprocess.Popen(  # noqa: S603  # our own script
            [python, "-c", SCRIPT, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True
        ) as process,
    ):
        assert process.stdin is not None
        assert process.stdout is not None
        line = process.stdout.readline().strip()
        assert line.isdecimal(), log.read_text()[-3000:]
        try:
            yield TinyPACS(int(line))
        finally:
            process.stdin.close()  # which ends it
