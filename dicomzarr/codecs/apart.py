"""JPEG XL of which nothing tells how long decoding takes: decoded in a process of its own, which is ended in time.

That process is started when it is first needed, serves one frame after the other, and ends when nobody has needed it
for a minute, or with this one. What it may take is set there, by the system.
"""

from __future__ import annotations

import json
import struct
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final

import numpy as np

from dicomzarr.runtime.cores import CORE
from dicomzarr.runtime.process import ProcessLock, at_exit, at_fork

if TYPE_CHECKING:
    import numpy.typing as npt

_ASKED: Final = struct.Struct("<?QQd")
"""Whether the JPEG within is wanted, bytes of the frame, and bytes of memory and seconds of a core that it may take."""
_LATE: Final = 6 if sys.platform == "win32" else 60
"""Times as long it may take on a machine that does much else; no more where the system counts no seconds of a core."""
_IDLE: Final = 60.0
"""Seconds for which the process waits for another frame."""
_START: Final = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); from dicomzarr.codecs.apart import serve; serve()"
)


class Apart:
    """The process, as those see it who have frames decoded there; from any thread, one after the other."""

    def __init__(self) -> None:
        self._lock = ProcessLock()
        self._process: subprocess.Popen[bytes] | None = None
        at_fork(in_child=self._leave)
        at_exit(self.end)

    def decode(self, data: bytes, memory: int, seconds: float, *, held_jpeg: bool = False) -> npt.NDArray[Any]:
        """Decode a JPEG XL.

        Args:
            data: The codestream, perhaps in boxes.
            memory: Bytes that decoding may take.
            seconds: Seconds of a core, likewise.
            held_jpeg: The bytes of the JPEG that it was made from are wanted.

        Raises:
            ValueError: It cannot be decoded, or takes more; says so.
        """
        with self._lock:
            try:
                return self._decode(_ASKED.pack(held_jpeg, len(data), memory, seconds) + data, memory, seconds)
            except OSError as error:
                raise ValueError(f"no process can be started for it ({type(error).__name__})") from None
            except BaseException:
                self.end()  # whatever it was at
                raise

    def _decode(self, asked: bytes, memory: int, seconds: float) -> npt.NDArray[Any]:
        if self._process is None or self._process.poll() is not None:
            self.end()
            self._process = _started()
        process = self._process
        guard = threading.Timer(_LATE * seconds, process.kill)
        guard.daemon = True
        guard.start()
        try:
            return _answer(process, asked)
        except (OSError, EOFError):
            if process.wait() == 0:  # nobody had needed it for a minute
                self.end()
                return self._decode(asked, memory, seconds)
            raise ValueError(
                f"it takes more than {seconds:g} seconds of a core, or {memory} bytes: if the server is trusted, raise"
                " the limits 'layer_seconds' and 'blank_bytes'"
            ) from None
        finally:
            guard.cancel()

    def end(self) -> None:
        """End the process, if there is one."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            with process:  # which closes its pipes and waits
                pass

    def _leave(self) -> None:
        """In a forked child: it is the parent's process, which lives as long as its pipes are open."""
        process, self._process = self._process, None
        if process is not None:
            process.returncode = 0
            with suppress(OSError), process:
                pass


APART: Final = Apart()
"""That of this process."""


def _started() -> subprocess.Popen[bytes]:
    """A process that finds the packages of this one. Its errors are its own."""
    if not Path(sys.executable or "").stem.lower().startswith(("python", "pypy")):
        raise ValueError("this program is no Python that could be started for it: set limits={'layer_seconds': 1e9}")
    command = [sys.executable, "-I", "-c", _START, json.dumps(sys.path)]
    pipe = subprocess.PIPE
    CORE.leave()
    # Without buffers: what a forked child found in one it would send once more.
    return subprocess.Popen(command, bufsize=0, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL)  # noqa: S603  # ours


def _answer(process: subprocess.Popen[bytes], asked: bytes) -> npt.NDArray[Any]:
    assert process.stdin is not None  # noqa: S101  # both are pipes
    assert process.stdout is not None  # noqa: S101
    sent = 0
    while sent < len(asked):
        sent += process.stdin.write(memoryview(asked)[sent:])
    told = json.loads(process.stdout.readline() or b"null")
    if told is None:
        raise EOFError
    if "error" in told:
        raise ValueError(told["error"])
    pixels: npt.NDArray[Any] = np.empty(told["shape"], told["dtype"])
    room, got = pixels.reshape(-1).view(np.uint8).data, 0
    while got < len(room):
        more: int = process.stdout.readinto(room[got:])  # type: ignore[attr-defined]
        if not more:
            raise EOFError
        got += more
    return pixels


def serve() -> None:
    """Be that process: frames come on standard input, and pixels go to standard output."""
    import imagecodecs  # noqa: PLC0415  # by the other process only

    frames, out = sys.stdin.buffer, sys.stdout.buffer
    while _comes(frames) and len(asked := frames.read(_ASKED.size)) == _ASKED.size:
        held_jpeg, size, memory, seconds = _ASKED.unpack(asked)
        data = frames.read(size)
        _bound(memory, seconds)
        try:
            if held_jpeg:
                pixels = np.frombuffer(imagecodecs.jpegxl_decode_jpeg(data, numthreads=1), np.uint8)
            else:
                pixels = np.ascontiguousarray(imagecodecs.jpegxl_decode(data, keeporientation=True, numthreads=1))
        except (RuntimeError, ValueError, MemoryError) as error:
            told: dict[str, Any] = {"error": str(error) or "there is not enough memory"}
            pixels = np.empty(0, np.uint8)
        else:
            told = {"shape": pixels.shape, "dtype": pixels.dtype.str}
        out.write(json.dumps(told).encode() + b"\n")
        out.write(pixels.data)
        out.flush()


def _comes(frames: BinaryIO) -> bool:
    """Whether another frame comes in time."""
    if sys.platform == "win32":
        return True  # it ends with its parent
    import select  # noqa: PLC0415  # by the other process only

    return bool(select.select([frames], [], [], _IDLE)[0])


def _bound(memory: int, seconds: float) -> None:
    """Have the system end this process when it takes more than so much beyond what it has now."""
    if sys.platform == "win32":
        return
    import resource  # noqa: PLC0415  # as above

    used = resource.getrusage(resource.RUSAGE_SELF)
    taken = int(used.ru_utime + used.ru_stime + seconds) + 1
    _set(resource.RLIMIT_CPU, taken)
    with suppress(OSError):  # where there is such a file
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
        _set(resource.RLIMIT_AS, pages * resource.getpagesize() + memory)


def _set(kind: int, most: int) -> None:
    import resource  # noqa: PLC0415  # as above

    _, hard = resource.getrlimit(kind)
    resource.setrlimit(kind, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))
