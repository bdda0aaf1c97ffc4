"""Many processes and running loops: data loaders that fork or spawn, forks at any moment, and cells of notebooks."""

from __future__ import annotations

import json

import patches
import pytest
import slides
from faults import delay, require_basic
from processes import FORKS, run_strictly
from serving import serving

SLIDE = slides.brightfield_pyramid()
PIXELS = SLIDE.levels[0].pixels[:, 0]
PATCHES = [
    patches.checksum(PIXELS[:, y : y + patches.SIDE, x : x + patches.SIDE])
    for y, x in patches.corners(*PIXELS.shape[-2:])
]


# --- data loaders ---


@FORKS
@pytest.mark.parametrize(
    "way", ["loader", pytest.param("pool", marks=pytest.mark.slow), pytest.param("executor", marks=pytest.mark.slow)]
)
def test_workers_that_are_forked_read_patches(way: str) -> None:
    """From a parent that has read, with its loop, sessions, caches and threads alive, and that reads on."""
    with serving(SLIDE) as served:
        assert json.loads(run_strictly("patches.py", "fork", way, served.url)) == [PATCHES, PATCHES]


@FORKS
@pytest.mark.slow
def test_workers_that_are_forked_have_the_credentials() -> None:
    """Even those that do not travel."""
    with serving(SLIDE, require_basic("joe", "s3cret")) as served:
        url = served.url.replace("://", "://joe:s3cret@")
        assert json.loads(run_strictly("patches.py", "fork", "pool", url)) == [PATCHES, PATCHES]


@pytest.mark.parametrize("way", [pytest.param(way, marks=pytest.mark.slow) for way in patches.WAYS])
def test_workers_that_are_spawned_read_patches(way: str) -> None:
    with serving(SLIDE) as served:
        assert json.loads(run_strictly("patches.py", "spawn", way, served.url)) == [PATCHES, PATCHES]


# --- forks at any moment ---

STORM = """
import os, signal, sys, threading, traceback
import dicomzarr, zarr, fsspec
import numpy as np

url, forks = sys.argv[1], int(sys.argv[2])
image = dicomzarr.open(url, cache_bytes=0)
array = zarr.open_group(url, mode="r", storage_options={"cache_bytes": 0})["0"]
expected = image.levels[0][...]
done = threading.Event()
wrong = []

def look(reads):
    while not done.is_set():
        try:
            reads()
        except BaseException:
            wrong.append(traceback.format_exc())
            return

def level():
    assert (image.levels[0][:, :64] == expected[:, :64]).all()

def chunks():
    assert (array[:, :64] == expected[:, :64]).all()

def anew():
    fresh = dicomzarr.open(url, timeout=float(next(numbers)))
    assert fresh.levels[3].shape == image.levels[3].shape

numbers = iter(range(10, 10**9))

def check():
    assert (image.levels[0][...] == expected).all()
    assert (array[:, :64] == expected[:, :64]).all()
    assert (dicomzarr.open(url).levels[0][:, :9] == expected[:, :9]).all()

def fork():
    for _ in range(forks):
        child = os.fork()
        if not child:
            signal.alarm(100)  # a child that hangs ends by SIGALRM
            try:
                check()
            except BaseException:
                traceback.print_exc()
                os._exit(1)
            os._exit(0)
        statuses.append(os.waitpid(child, 0)[1])

statuses = []
busy = [threading.Thread(target=look, args=(reads,)) for reads in (level, chunks, anew)]
for thread in busy:
    thread.start()
forker = threading.Thread(target=fork)
forker.start()
forker.join()
done.set()
for thread in busy:
    thread.join()
assert not wrong, wrong
check()
print(statuses)
"""


@FORKS
@pytest.mark.parametrize("forks", [4, pytest.param(100, marks=pytest.mark.slow)])
def test_a_fork_at_any_moment(forks: int) -> None:
    """From another thread than the main one, while others read, open and refresh."""
    with serving(SLIDE) as served:
        assert json.loads(run_strictly("-c", STORM, served.url, str(forks))) == [0] * forks


LOCKED = """
import gc, os, signal, sys, threading, traceback
import functools
import dicomzarr, zarr

url = sys.argv[1]
image = dicomzarr.open(url)
array = zarr.open_group(url, mode="r")["0"]
expected = image.levels[0][...]
assert (array[...] == expected).all()
image.levels[0].to_dask().sum().compute(scheduler="threads")

def locks():
    kinds = (type(threading.Lock()), type(threading.RLock()))
    for owner in gc.get_objects():
        owned = owner.func if type(owner) is functools.cached_property else type(owner)
        if str(owned.__module__).startswith("dicomzarr."):
            held = [*getattr(owner, "__dict__", {}).values(), *gc.get_referents(owner)]
            yield from (each for each in held if isinstance(each, kinds))

found = list({id(lock): lock for lock in locks()}.values())
held, forked = threading.Event(), threading.Event()

def hold():
    for lock in found:
        lock.acquire()
    held.set()
    forked.wait()
    for lock in found:
        lock.release()

holder = threading.Thread(target=hold)
holder.start()
held.wait()
child = os.fork()
if not child:
    signal.alarm(100)
    try:
        assert (image.levels[0][...] == expected).all()
        assert (array[...] == expected).all()
        fresh = dicomzarr.open(url, headers={"X-Other": "somebody"})
        assert (fresh.levels[0][...] == expected).all()
        assert fresh.affine is not None
        assert (fresh.levels[0].to_dask(chunks=(3, 64, 64)).compute(scheduler="threads") == expected).all()
        assert fresh.to_xarray()["0"]["image"].shape == expected.shape
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)
status = os.waitpid(child, 0)[1]
forked.set()
holder.join()
assert (image.levels[0][...] == expected).all()
print([len(found), status])
"""


@FORKS
@pytest.mark.slow
def test_no_lock_that_is_held_at_a_fork_stops_the_child() -> None:
    """Every lock of ours, found by looking through the whole process, is held by another thread meanwhile."""
    with serving(SLIDE) as served:
        count, status = json.loads(run_strictly("-c", LOCKED, served.url))
    assert count >= 3
    assert status == 0


# --- cells of a notebook ---

CELLS = '''
import ast, asyncio, inspect, sys

CELLS = [
    """
import dask.array as da, dicomzarr, fsspec, numpy as np, xarray as xr, zarr
from zarr.storage import FsspecStore
image = dicomzarr.open(url)
expected = image.levels[0][...]
image""",
    """
array = zarr.open_group(url, mode="r")["0"]
assert (array[...] == expected).all()
assert (da.from_zarr(url, component="0").compute() == expected).all()
assert (image.levels[0].to_dask(chunks=(3, 64, 64)).compute() == expected).all()""",
    """
fs = fsspec.filesystem("dicomweb", asynchronous=True)
chunk = await fs._cat_file(url + "/0/c/0/1/1")
assert (np.frombuffer(chunk, np.uint8).reshape(3, 64, 64) == expected[:, 64:128, 64:128]).all()
documents = await asyncio.gather(*(fs._cat_file(url + f"/{level}/zarr.json") for level in range(4)))
assert all(documents)""",
    """
group = await zarr.api.asynchronous.open_group(url, mode="r")
level = await group.getitem("0")
assert (await level.getitem(...) == expected).all()
assert (array[:, :64] == expected[:, :64]).all()""",
    """
tree = xr.open_datatree(url, engine="dicomzarr", chunks={})
assert int(tree["0"]["image"].sum()) == int(expected.sum())
assert (xr.open_dataset(url, engine="dicomzarr", group="0")["image"].to_numpy() == expected).all()
tree""",
    """
task = asyncio.ensure_future(asyncio.to_thread(lambda: image.levels[0][:, :64]))
assert (image.levels[0].read([np.s_[:, :64, :64]])[0] == expected[:, :64, :64]).all()
assert (await task == expected[:, :64]).all()
sync = fsspec.filesystem("dicomweb")
assert sync.cat_file(url + "/zarr.json") == await fs._cat_file(url + "/zarr.json")""",
]

async def run_cell(text, names):
    """As IPython: a cell that awaits is a coroutine on the kernel's loop, another one runs inside its callback."""
    code = compile(text, "<cell>", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    result = eval(code, names)
    if inspect.isawaitable(result):
        await result
    for name in ("image", "tree"):
        if name in names:
            assert names[name]._repr_html_()

async def kernel():
    names = {"url": sys.argv[1], "asyncio": asyncio}
    for cell in CELLS:
        await asyncio.create_task(run_cell(cell, names))
        await asyncio.sleep(0.01)  # the kernel has other things to do

asyncio.run(kernel(), debug=False)
print("done")
'''


@pytest.mark.slow
def test_cells_of_a_notebook() -> None:
    """Inside a running loop: synchronous calls of every face, and the asynchronous ones on that very loop."""
    with serving(SLIDE) as served:
        assert run_strictly("-c", CELLS, served.url) == "done\n"


@pytest.mark.slow
def test_cells_of_a_notebook_far_from_the_server() -> None:
    with serving(SLIDE, delay(0.02)) as served:
        assert run_strictly("-c", CELLS, served.url) == "done\n"
