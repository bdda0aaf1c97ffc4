"""moto, a server of S3 that is not ours, for correctness: its bucket ``open`` may be read by all."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import fsspec

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

KEY, SECRET = "an-access-key", "a-secret-access-key"


@contextmanager
def running_moto() -> Iterator[str]:
    """Run it in this process; gives its URL."""
    from moto.server import ThreadedMotoServer  # noqa: PLC0415  # slow to import, and not there at the lowest versions

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    try:
        host, port = server.get_host_and_port()
        url = f"http://{host}:{port}"
        fsspec.filesystem("s3", key=KEY, secret=SECRET, endpoint_url=url).mkdir("open", acl="public-read")
        yield url
    finally:
        server.stop()


def put(url: str, prefix: str, folder: Path) -> None:
    """Copy the files of a folder to ``BUCKET/PREFIX`` of a server of S3."""
    s3 = fsspec.filesystem("s3", key=KEY, secret=SECRET, endpoint_url=url)
    for path in sorted(folder.iterdir()):
        s3.put_file(str(path), f"{prefix}/{path.name}")
