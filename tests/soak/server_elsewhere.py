"""The faulty server in a process of its own, which can go down and come back; and one that never answers."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))  # the modules of the tests
from ports import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Self

HOST = "127.0.0.1"


class FaultyServer:
    """Runs ``faulty_server.py`` on one port.

    Args:
        seed: Of its faults.
        port: 0 takes a free one, which it is given again after a restart.
    """

    def __init__(self, seed: int, port: int = 0) -> None:
        self._seed = seed
        self._before: Counter[str] = Counter()
        """What was injected by processes that have ended."""
        self._start(port or free_port(), 0.0)

    def _start(self, port: int, wait: float) -> None:
        script = str(Path(__file__).with_name("faulty_server.py"))
        command = [sys.executable, script, str(port), str(self._seed), str(wait)]
        self._process = subprocess.Popen(  # noqa: S603  # ours
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._ask, self._answers = self._process.stdin, self._process.stdout
        self.url = self._answers.readline().strip()
        assert self.url, "faulty_server.py ended; its error is above"
        self.port = int(self.url.split(":")[2].split("/")[0])

    def restart(self, down: float) -> None:
        """Kill it with all that is under way; after so many seconds another one listens on its port."""
        self._before += self._injected()
        self._process.kill()
        self._close()
        self._seed += 1
        self._start(self.port, down)

    def injected(self) -> Counter[str]:
        """Requests, and how many of them each fault has struck."""
        return self._before + self._injected()

    def _injected(self) -> Counter[str]:
        self._ask.write("\n")
        self._ask.flush()
        return Counter(json.loads(self._answers.readline()))

    def _close(self) -> None:
        self._ask.close()
        self._process.wait()
        self._answers.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._close()


@contextlib.contextmanager
def mute_server(port: int) -> Iterator[None]:
    """Take connections on a port, and never answer."""
    with socket.create_server((HOST, port)) as listener:
        held: list[socket.socket] = []

        def take() -> None:
            with contextlib.suppress(OSError):
                while True:
                    held.append(listener.accept()[0])

        thread = threading.Thread(target=take, daemon=True)
        thread.start()
        try:
            yield
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()
            for each in held:
                each.close()
