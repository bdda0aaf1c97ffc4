"""Ports for servers that listen a while later, or that go and come back."""

from __future__ import annotations

import socket
from pathlib import Path
from random import SystemRandom

HOST = "127.0.0.1"
_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
_FIRST_OF_CLIENTS = 32768
_COUNT = 12_000


def free_port() -> int:
    """A port that is free, and that no connection takes meanwhile: those of clients are higher."""
    first = int(_RANGE.read_text().split()[0]) if _RANGE.exists() else _FIRST_OF_CLIENTS
    while True:
        port = SystemRandom().randrange(max(1024, first - _COUNT), max(1024 + _COUNT, first))
        try:
            with socket.create_server((HOST, port)):
                return port
        except OSError:
            continue
