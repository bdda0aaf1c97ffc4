"""A process without a network: what it starts from then on reaches nothing but this machine."""

from __future__ import annotations

import ctypes
import fcntl
import os
import socket
import struct
import sys
from typing import Final

import fsspec.asyn

_CLONE_NEWNET: Final = 0x40000000
_SIOCGIFFLAGS, _SIOCSIFFLAGS, _IFF_UP = 0x8913, 0x8914, 1
_REQUEST: Final = "16sh14x"
ELSEWHERE: Final = ("192.0.2.1", 80)
"""An address that is nobody's (RFC 5737)."""


def leave_the_network() -> str:
    """Give this thread, and all that it starts, a network namespace with nothing but the loopback interface.

    Returns:
        Why that cannot be; empty where it is done.
    """
    if is_alone():
        return ""
    if not sys.platform.startswith("linux"):
        return "there are no network namespaces on this system"
    if fsspec.asyn.loop[0] is not None:
        return "the home loop runs already, and its thread would stay in the network"
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_NEWNET) != 0:
        return f"network namespaces are not allowed here ({os.strerror(ctypes.get_errno())})"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        asked = struct.pack(_REQUEST, b"lo", 0)
        (flags,) = struct.unpack_from("h", fcntl.ioctl(any_socket, _SIOCGIFFLAGS, asked), 16)
        fcntl.ioctl(any_socket, _SIOCSIFFLAGS, struct.pack(_REQUEST, b"lo", flags | _IFF_UP))
    return ""


def is_alone() -> bool:
    """Whether this thread has no network but the loopback interface."""
    return [name for _, name in socket.if_nameindex()] == ["lo"]
