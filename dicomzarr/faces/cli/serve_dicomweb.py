"""``dicomzarr serve --dicomweb FOLDER``: a DICOMweb server on a folder, until it is interrupted."""

from __future__ import annotations

import logging
import signal
import threading
from typing import TYPE_CHECKING

from rich.text import Text

from dicomzarr.errors import UsageError
from dicomzarr.faces.listening import cannot_listen

if TYPE_CHECKING:
    from argparse import Namespace

    from dicomzarr.faces.cli.terminal import Terminal

_LOCAL = ("127.0.0.1", "::1", "localhost")


def run(arguments: Namespace, terminal: Terminal) -> None:
    """Serve until somebody interrupts.

    Raises:
        MissingFileError: There is no such folder.
        UsageError: The address is taken, or is none of this machine.
    """
    if arguments.upstreams or arguments.token is not None:
        raise UsageError(
            "--dicomweb serves one folder, and without a token.", remedy="Leave out the upstreams, or --token."
        )
    from dicomzarr.faces.dicomweb_server import DICOMwebServer  # noqa: PLC0415  # help does without

    for logger in ("dicomzarr", "aiohttp"):
        logging.getLogger(logger).addHandler(logging.StreamHandler())
    with terminal.waiting(f"Looking through {arguments.dicomweb}"):
        server = DICOMwebServer(
            arguments.dicomweb,
            host=arguments.host,
            port=arguments.port,
            writable=arguments.writable,
            names=arguments.name,
            origins=arguments.allow_origin,
            public_url=arguments.public_url,
        )
    ended = threading.Event()
    before = {number: signal.signal(number, lambda *_: ended.set()) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        with server:
            terminal.print_line(Text(server.url))
            terminal.out.file.flush()
            if arguments.host not in _LOCAL:
                terminal.note("Other machines can reach it, and there are no passwords.")
            for notice in server.notices:
                terminal.note(notice)
            terminal.note("Ctrl-C ends it.")
            ended.wait()
    except (OSError, OverflowError) as error:
        raise cannot_listen(arguments.host, arguments.port, error) from None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
