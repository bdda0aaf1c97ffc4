"""A real Orthanc with its DICOMweb plugin for the tests, and the slide converter of its family."""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import os
import shutil
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pydicom
from PIL import Image
from ports import free_port
from slides_model import part10
from waiting import SECONDS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

HOST = "127.0.0.1"
PLUGIN_NAME = "libOrthancDicomWeb.so"
PLUGIN_FOLDERS = (
    "/usr/share/orthanc/plugins",
    "/usr/local/share/orthanc/plugins",
    "/usr/lib/orthanc",
)


class OrthancMissingError(RuntimeError):
    """This machine has no Orthanc, or no DICOMweb plugin for it."""


class OrthancFailedError(RuntimeError):
    """Orthanc did not start, or refused what a test needs it to take."""


@dataclass(frozen=True)
class Orthanc:
    """A running server; made by :func:`running_orthanc`."""

    port: int
    auth: tuple[str, str] | None = None
    _loaded: set[str] = field(default_factory=set)

    @property
    def dicomweb_url(self) -> str:
        return f"http://{HOST}:{self.port}/dicom-web"

    def series_url(self, study: str, series: str, scheme: str = "dicomweb") -> str:
        """The URL of one series; ``scheme`` is ``dicomweb`` for fsspec or ``http`` for the wire."""
        return f"{scheme}://{HOST}:{self.port}/dicom-web/studies/{study}/series/{series}"

    def load(self, items: Iterable[Path | pydicom.Dataset]) -> None:
        """Upload Part-10 files or datasets, each SOP instance once."""
        for item in items:
            dataset = item if isinstance(item, pydicom.Dataset) else _identity(item)
            uid = str(dataset.SOPInstanceUID)
            if uid not in self._loaded:
                self.upload(item.read_bytes() if isinstance(item, Path) else part10(item))
                self._loaded.add(uid)

    def upload(self, body: bytes) -> dict[str, Any]:
        """POST one Part-10 file, loaded before or not."""
        status, reply = self.request("POST", "/instances", body)
        if status != http.HTTPStatus.OK:
            raise OrthancFailedError(f"POST /instances answered {status}: {reply[:300]!r}")
        answer: dict[str, Any] = json.loads(reply)
        return answer

    def get_json(self, path: str) -> Any:
        """GET a path below the server's root, as ``/dicom-web/studies``."""
        status, reply = self.request("GET", path)
        if status != http.HTTPStatus.OK:
            raise OrthancFailedError(f"GET {path} answered {status}: {reply[:300]!r}")
        return json.loads(reply)

    def series_metadata(self, study: str, series: str) -> list[dict[str, Any]]:
        """DICOM JSON of every instance of one series."""
        path = f"/dicom-web/studies/{study}/series/{series}/metadata"
        metadata: list[dict[str, Any]] = self.get_json(path)
        return metadata

    def request(self, method: str, path: str, body: bytes | None = None, accept: str = "*/*") -> tuple[int, bytes]:
        """One request on its own connection: (status, body)."""
        headers = {"Accept": accept, **_authorization(self.auth)}
        connection = http.client.HTTPConnection(HOST, self.port, timeout=SECONDS)
        with contextlib.closing(connection):
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            return response.status, response.read()


@contextlib.contextmanager
def running_orthanc(folder: Path, auth: tuple[str, str] | None = None) -> Iterator[Orthanc]:
    """Start Orthanc on a free port of the loopback, and end it afterwards.

    Args:
        folder: An empty folder for its files.
        auth: User and password that HTTP Basic authentication asks for; None lets everybody in.

    Raises:
        OrthancMissingError: The server or its plugin is not installed.
        OrthancFailedError: It did not answer in time; the message ends with its log.
    """
    command, plugin = find_orthanc()
    port = free_port()
    configuration = folder / "orthanc.json"
    configuration.write_text(json.dumps(_configuration(port, folder, plugin, auth)))
    log = folder / "orthanc.log"
    with log.open("wb") as output:
        process = subprocess.Popen(  # noqa: S603  # our own command line
            [*_dies_with_parent(), command, str(configuration)],
            stdout=output,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
        )
    try:
        server = Orthanc(port, auth)
        _wait_until_ready(server, process, log)
        yield server
    finally:
        _end(process)


def find_orthanc() -> tuple[str, Path]:
    """The server's executable and its DICOMweb plugin."""
    command = shutil.which("Orthanc", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    plugins = [Path(folder) / PLUGIN_NAME for folder in PLUGIN_FOLDERS]
    plugin = next((path for path in plugins if path.exists()), None)
    if command is None or plugin is None:
        raise OrthancMissingError(
            f"Orthanc: {command or 'not found'}; {PLUGIN_NAME}: {plugin or 'not found'}."
            " On Debian: apt-get install --no-install-recommends orthanc orthanc-dicomweb"
        )
    return command, plugin


def synthetic_png(path: Path, columns: int = 1500, rows: int = 1100) -> np.ndarray[Any, Any]:
    """Write a colour image that differs everywhere; gives its pixels, (rows, columns, 3) uint8."""
    y, x = np.mgrid[0:rows, 0:columns]
    waves = [np.sin(x / 97 + 1), np.sin(y / 71), np.cos((x + y) / 133)]
    grain = np.random.default_rng(1).normal(0, 8, (rows, columns, 1))
    pixels = (128 + 90 * np.stack(waves, axis=-1) + grain).clip(0, 255).astype(np.uint8)
    Image.fromarray(pixels).save(path)
    return pixels


def dicomize(image: Path, folder: Path, *, compression: str = "none", max_size: int = 1, tile: int = 256) -> list[Path]:
    """Make a slide of an image by OrthancWSIDicomizer.

    Args:
        image: PNG, JPEG or TIFF.
        folder: Where the instances go, as ``wsi-000000.dcm``.
        compression: ``none`` or ``jpeg``.
        max_size: MB after which a level is continued in another instance; 0 never splits.
        tile: Rows and columns of a tile.

    Raises:
        OrthancMissingError: The converter is not installed (Debian package orthanc-wsi).
    """
    command = shutil.which("OrthancWSIDicomizer")
    if command is None:
        raise OrthancMissingError("OrthancWSIDicomizer: not found. apt-get install orthanc-wsi")
    options = {"compression": compression, "max-size": max_size, "pyramid": 1}
    sizes = {"tile-width": tile, "tile-height": tile, "jpeg-quality": 95}
    arguments = [f"--{name}={value}" for name, value in {**options, **sizes}.items()]
    subprocess.run(  # noqa: S603  # our own command line
        [command, f"--folder={folder}", *arguments, str(image)],
        check=True,
        capture_output=True,
        timeout=SECONDS,
    )
    return sorted(folder.glob("wsi-*.dcm"))


def _identity(path: Path) -> pydicom.Dataset:
    return pydicom.dcmread(path, specific_tags=["SOPInstanceUID"], stop_before_pixels=True)


def _configuration(port: int, folder: Path, plugin: Path, auth: tuple[str, str] | None) -> Mapping[str, Any]:
    storage = str(folder / "db")
    return {
        "HttpPort": port,
        "RemoteAccessAllowed": False,
        "DicomServerEnabled": False,
        "AuthenticationEnabled": auth is not None,
        "RegisteredUsers": dict([auth]) if auth else {},
        "StorageDirectory": storage,
        "IndexDirectory": storage,
        "OverwriteInstances": True,
        "Plugins": [str(plugin)],
        "DicomWeb": {
            "Enable": True,
            "Root": "/dicom-web/",
            "StudiesMetadata": "Full",
            "SeriesMetadata": "Full",
        },
    }


def _authorization(auth: tuple[str, str] | None) -> dict[str, str]:
    if auth is None:
        return {}
    token = base64.b64encode(":".join(auth).encode()).decode()
    return {"Authorization": f"Basic {token}"}


def _dies_with_parent() -> list[str]:
    # util-linux sets PR_SET_PDEATHSIG before it becomes the server: nothing is left behind
    # when the tests are killed, and no Python runs between fork and exec.
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", "KILL", "--"] if setpriv else []


def _wait_until_ready(server: Orthanc, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError, http.client.HTTPException):
            if server.request("GET", "/system")[0] == http.HTTPStatus.OK:
                return
        time.sleep(0.02)
    ended = "did not answer in time" if process.poll() is None else "ended at once"
    raise OrthancFailedError(f"Orthanc {ended}:\n{log.read_text(errors='replace')[-3000:]}")


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()  # an orderly end takes seconds, and its files go as well
    process.wait()
