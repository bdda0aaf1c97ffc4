"""Ctrl+C in a read: one traceback, of a page at most, and nothing about what was under way."""

from __future__ import annotations

import asyncio
import gc
import signal
import sys
import time
from typing import Any

import faults
import pytest
import slides
from processes import piped
from serving import serving
from waiting import SECONDS

from dicomzarr.runtime.crossing import _Answered, _release

PAGE = 50
"""Lines of a page."""

READS = {
    "level": "dicomzarr.open(url).levels[0][...]",
    "with a bar": "dicomzarr.open(url).levels[0].to_numpy(progress=True)",
    "dask": "dicomzarr.open(url).levels[0].to_dask().max().compute()",
}


@pytest.mark.slow
@pytest.mark.parametrize("name", READS)
def test_an_interrupted_read_shows_one_traceback(name: str) -> None:
    program = f"import sys, dicomzarr; url = sys.argv[1]; {READS[name]}"
    slow = faults.delay(SECONDS, on="frames")
    with (
        serving(slides.brightfield_pyramid(), slow) as served,
        piped(sys.executable, "-c", program, served.url) as process,
    ):
        while not served.count("frames"):
            assert process.poll() is None
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=SECONDS)
    assert told.count("Traceback") == 1
    assert len(told.splitlines()) < PAGE
    assert told.rstrip().endswith("KeyboardInterrupt")


def test_a_failure_of_which_nobody_hears_is_not_printed() -> None:
    """As when a process ends while another library's loop still asks."""
    said: list[dict[str, Any]] = []

    async def ask() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: said.append(context))
        _release([_Answered(loop.create_future(), RuntimeError("the session is closed"))])
        gc.collect()

    asyncio.run(ask())
    assert said == []
