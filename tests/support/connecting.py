"""Clients of a DICOMweb server by storage options, as tests make them."""

from __future__ import annotations

import asyncio
from typing import Any

from dicomzarr.options import StorageOptions
from dicomzarr.sources.dicomweb.client import Client

_PARTS = ("profile", "limits", "transport", "sleep", "clock")


def client_of(base_url: str, **named: Any) -> Client:
    """The client of a server, by storage options and by what else its constructor takes."""
    parts = {name: value for name, value in named.items() if name in _PARTS}
    options = StorageOptions.parse(**{name: value for name, value in named.items() if name not in _PARTS})
    return Client(base_url, options.access, options.tuning, **parts)


async def closed(client: Client) -> None:
    """Close a client, on a loop that is about to end."""
    client.close()
    await asyncio.sleep(0)  # connections close on the loop
