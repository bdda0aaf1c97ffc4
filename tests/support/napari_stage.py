"""What happens in napari, as ``python napari_stage.py SCENE FOLDER`` on a screen; prints what was seen as JSON.

A scene compares with datasets and numbers that dicomzarr had no part in, and ends with an error where they differ.
"""

from __future__ import annotations

import asyncio
import json
import re
import socket
import sys
import threading
import time
from collections import defaultdict
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import faults
import imagecodecs
import napari
import napari.utils.notifications
import npe2
import numpy as np
import pydicom
import slides
from aiohttp import web
from folders import write
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QApplication
from radiology_model import AXIAL, CORONAL, OBLIQUE, SAGITTAL, distinct
from radiology_volumes import pet, volume
from segmentations import segmented_slide
from slides_json import FULL_TILE
from waiting import SECONDS

import dicomzarr.faces.napari
from dicomzarr.demo.archive import Archive
from dicomzarr.demo.instances import virtual_instance
from dicomzarr.demo.server import DICOMwebServer
from dicomzarr.demo.slide import SERIES, STUDY, demo_files
from dicomzarr.errors import DicomZarrError
from dicomzarr.faces.demo.phantoms import phantoms
from dicomzarr.faces.napari import screen as screens
from dicomzarr.faces.napari.browser import Browser
from dicomzarr.faces.napari.reader import get_reader
from dicomzarr.faces.napari.refreshing import screen_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pydicom import Dataset

PLUGIN = "dicomzarr"
JPEG_BASELINE = "1.2.840.10008.1.2.4.50"
VIEWS = 200


def register() -> None:
    """Have napari know the plug-in, installed or not."""
    manager = npe2.PluginManager.instance()
    manager.discover()
    if PLUGIN not in manager:
        manager.register(npe2.PluginManifest.from_file(Path(dicomzarr.faces.napari.__file__).parent / "napari.yaml"))


def until(true: Callable[[], bool]) -> None:
    """Let the viewer run until something is true."""
    end = time.monotonic() + SECONDS / 2  # before the parent gives up, which could not say where
    while not true():
        assert time.monotonic() < end, "nothing happens any more"
        QApplication.processEvents()
        time.sleep(0.002)


def settle(viewer: napari.Viewer) -> None:
    """Let the viewer run until all that is looked at has come and is shown."""
    for _ in range(3):
        until(lambda: all(screen is None or screen.is_complete for screen in map(screen_of, viewer.layers)))
        done = time.monotonic() + 0.1
        until(lambda done=done: time.monotonic() > done)  # type: ignore[misc]  # the pause before pixels are shown
        QApplication.processEvents()  # it may be over only now


@contextmanager
def stage() -> Iterator[napari.Viewer]:
    register()
    viewer = napari.Viewer(show=True)
    viewer.window.resize(1200, 860)
    try:
        yield viewer
    finally:
        viewer.close()


def seen(layer: Any) -> np.ndarray[Any, Any]:
    """The pixels that napari shows."""
    return np.asarray(layer._slice.image.raw)


def _camera(viewer: Any) -> Any:
    """Where napari has it, before 0.9 or since."""
    return getattr(viewer, "scene", viewer).camera


def _overlays(viewer: Any) -> Any:
    return viewer.canvas.overlays if hasattr(viewer, "canvas") else viewer


def by_series() -> dict[str, list[Dataset]]:
    found: defaultdict[str, list[Dataset]] = defaultdict(list)
    for dataset in phantoms():
        found[f"{dataset.Modality}"].append(dataset)
    return found


def url_of(server: DICOMwebServer, datasets: list[Dataset]) -> str:
    return server.series_url(datasets[0].StudyInstanceUID, datasets[0].SeriesInstanceUID)


def same(a: Any, b: Any) -> None:
    assert np.array_equal(a, b), (np.shape(a), np.shape(b))


# --- scenes ---


def slide(folder: Path) -> dict[str, Any]:
    with DICOMwebServer(Archive(demo_files())) as server, stage() as viewer:
        (layer,) = viewer.open(server.series_url(STUDY, SERIES), plugin=PLUGIN)
        _overlays(viewer).scale_bar.visible = True
        levels = [pydicom.dcmread(file) for file in demo_files()]
        shapes = [(each.TotalPixelMatrixRows, each.TotalPixelMatrixColumns, 3) for each in levels[:4]]
        assert [level.shape for level in layer.data] == shapes
        _camera(viewer).zoom = 2.5 / layer.scale[0]
        settle(viewer)
        assert layer.data_level == 0
        (top, left), (bottom, right) = layer.corner_pixels
        exact = layer.data[0][top : bottom + 1, left : right + 1]
        same(seen(layer), exact)
        frame = imagecodecs.jpeg8_decode(next(pydicom.encaps.generate_frames(levels[0].PixelData, number_of_frames=42)))
        height, width = frame.shape[:2]
        same(np.asarray(layer.data[0][:height, :width]), frame)
        viewer.reset_view()
        settle(viewer)
        viewer.screenshot(str(folder / "slide.png"), canvas_only=False, flash=False)
        return {"rgb": layer.rgb, "scale": list(layer.scale), "units": [str(unit) for unit in layer.units]}


def volumes(folder: Path) -> dict[str, Any]:
    series = by_series()
    told: dict[str, Any] = {}
    everything = [dataset for each in series.values() for dataset in each]
    with DICOMwebServer(Archive(everything)) as server, stage() as viewer:
        layers = viewer.open(url_of(server, series["CT"]), plugin=PLUGIN)
        told["ct"] = _ct(viewer, layers, series)
        viewer.screenshot(str(folder / "ct.png"), canvas_only=False, flash=False)
        viewer.layers.clear()
        told["mr"] = _mr(viewer, viewer.open(url_of(server, series["MR"]), plugin=PLUGIN), series["MR"])
        viewer.screenshot(str(folder / "mr.png"), canvas_only=False, flash=False)
        viewer.layers.clear()
        told["sm"] = _cells(viewer, viewer.open(url_of(server, series["SM"]), plugin=PLUGIN), series["SM"])
        viewer.screenshot(str(folder / "cells.png"), canvas_only=False, flash=False)
    return told


def folders(folder: Path) -> dict[str, Any]:
    series = by_series()
    told: dict[str, Any] = {}
    for modality, datasets in series.items():
        kept = folder / ("CT" if modality == "SEG" else modality)
        kept.mkdir(exist_ok=True)
        for number, dataset in enumerate(datasets):
            has_preamble = modality != "MR"  # older files lack it
            dataset.save_as(kept / f"{modality}{number}.dcm", enforce_file_format=has_preamble)
    with stage() as viewer:
        for modality, look in (("CT", _ct), ("MR", _mr), ("SM", _cells)):
            layers = viewer.open(str(folder / modality), plugin=PLUGIN)
            told[modality.lower()] = look(viewer, layers, series if modality == "CT" else series[modality])
            viewer.layers.clear()
        (layer,) = viewer.open(str(demo_files()[0].parent), plugin=PLUGIN)
        settle(viewer)
        told["slide"] = [level.shape for level in layer.data]
        viewer.layers.clear()
        files = sorted(map(str, (folder / "CT").glob("CT*.dcm")))
        told["files"] = viewer.open(files, stack=True, plugin=PLUGIN)[0].data.shape
    return told


def _ct(viewer: napari.Viewer, layers: list[Any], series: dict[str, list[Dataset]]) -> dict[str, Any]:
    image, *labels = layers
    slices = sorted(series["CT"], key=lambda each: each.ImagePositionPatient[2])
    units = np.stack([each.pixel_array.astype(int) - 1024 for each in slices])
    for step in (27, 3, 40):
        viewer.dims.set_current_step(0, step)
        settle(viewer)
        same(seen(image), units[step])
    same(np.asarray(image.data), units)
    same(image.data[5:7, 10, ::-1], units[5:7, 10, ::-1])
    worlds = []
    for index in ((0, 0, 0), (7, 30, 200), (55, 255, 1)):
        header = slices[index[0]]
        across, down = np.array(header.ImageOrientationPatient, float).reshape(2, 3)
        row_step, column_step = map(float, header.PixelSpacing)
        place = (
            np.array(header.ImagePositionPatient, float) + index[2] * column_step * across + index[1] * row_step * down
        )
        world = np.asarray(image.data_to_world(index))
        assert np.allclose(world[::-1], place, atol=1e-9), (world, place)
        assert all(np.allclose(label.data_to_world(index), world) for label in labels)
        worlds.append(world.tolist())
    (header,) = series["SEG"]
    for number, label in enumerate(labels, 1):
        masks = np.zeros(units.shape, np.uint8)
        for frame, item in zip(header.pixel_array, header.PerFrameFunctionalGroupsSequence, strict=True):
            if item.SegmentIdentificationSequence[0].ReferencedSegmentNumber == number:
                at = round(float(item.PlanePositionSequence[0].ImagePositionPatient[2]) / 5.0)
                masks[at] = frame * number
        same(np.asarray(label.data), masks)
    viewer.dims.set_current_step(0, 30)
    settle(viewer)
    same(seen(labels[0]), np.asarray(labels[0].data[30]))
    viewer.dims.ndisplay = 3
    settle(viewer)
    same(seen(image), units)
    viewer.dims.ndisplay = 2
    settle(viewer)
    return {
        "limits": list(map(float, image.contrast_limits)),
        "labels": [label.name for label in labels],
        "colors": [np.round(label.get_color(number), 2).tolist() for number, label in enumerate(labels, 1)],
        "scale": list(image.scale),
        "units": [str(unit) for unit in image.units],
        "worlds": worlds,
    }


def _mr(viewer: napari.Viewer, layers: list[Any], datasets: list[Dataset]) -> dict[str, Any]:
    (layer,) = layers
    stored = np.zeros(layer.data.shape, "u2")
    for each in datasets:
        stored[each.TemporalPositionIdentifier - 1, round(float(each.ImagePositionPatient[2]) / 6)] = each.pixel_array
    for step in ((0, 5), (7, 2), (19, 9)):
        viewer.dims.set_current_step((0, 1), step)
        settle(viewer)
        same(seen(layer), stored[step])
    viewer.dims.set_current_step((0, 1), (7, 5))
    settle(viewer)
    return {"shape": list(layer.data.shape), "scale": list(layer.scale), "units": [str(unit) for unit in layer.units]}


def _cells(viewer: napari.Viewer, layers: list[Any], datasets: list[Dataset]) -> dict[str, Any]:
    tiles = datasets[0].pixel_array.reshape(3, 4, 4, 256, 256).swapaxes(2, 3).reshape(3, 1024, 1024)
    _camera(viewer).zoom = 8 / layers[0].scale[0]
    settle(viewer)
    for channel, layer in enumerate(layers):
        same(layer.data[0][...], tiles[channel])
        (top, left), (bottom, right) = layer.corner_pixels
        assert layer.data_level == 0
        same(seen(layer), tiles[channel, top : bottom + 1, left : right + 1])
    viewer.reset_view()
    settle(viewer)
    return {
        "names": [layer.name for layer in layers],
        "colors": [layer.colormap.colors[-1].tolist() for layer in layers],
        "limits": [list(map(float, layer.contrast_limits)) for layer in layers],
    }


def molecules(folder: Path) -> dict[str, Any]:
    """PET, whose slices have slopes of their own, by URL and from a folder: what is shown is Bq/ml."""
    stored, slopes = distinct((4, 16, 20), bits=16), [0.5, 1.25, 2, 4]
    made = pet(stored, slopes)
    units = stored * np.array(slopes)[:, None, None]
    write(folder / "pet", made.datasets)
    told: dict[str, Any] = {}
    with DICOMwebServer(Archive(made.datasets)) as server, stage() as viewer:
        for place in (server.series_url(made.study_uid, made.series_uid), str(folder / "pet")):
            (layer,) = viewer.open(place, plugin=PLUGIN)
            for step in (0, 3):
                viewer.dims.set_current_step(0, step)
                settle(viewer)
                same(seen(layer), units[step])
            same(np.asarray(layer.data), units)
            headers = sorted(made.datasets, key=lambda each: float(np.dot(AXIAL.normal, each.ImagePositionPatient)))
            for step, header in enumerate(headers):
                world = layer.data_to_world((step, 0, 0))[::-1]
                assert np.allclose(world, np.array(header.ImagePositionPatient, float)), (world, step)
            viewer.screenshot(str(folder / "pet.png"), canvas_only=False, flash=False)
            told = {
                "kind": layer._type_string,
                "units": layer.metadata["dicomzarr"]["units"],
                "scale": list(layer.scale),
            }
            viewer.layers.clear()
    return told


def nuclei(folder: Path) -> dict[str, Any]:
    """A slide with a segmentation of it, by URL and from a folder."""
    slide_of, found = segmented_slide()
    write(folder / "slide", [slide_of, found.dataset])
    told: dict[str, Any] = {}
    with DICOMwebServer(Archive([slide_of, found.dataset])) as server, stage() as viewer:
        for place in (server.series_url(found.study, str(slide_of.SeriesInstanceUID)), str(folder / "slide")):
            image, *labels = viewer.open(place, plugin=PLUGIN)
            viewer.reset_view()
            settle(viewer)
            same(
                np.asarray(image.data), slide_of.pixel_array.reshape(3, 4, 32, 32, 3).swapaxes(1, 2).reshape(96, 128, 3)
            )
            for number, label in enumerate(labels, 1):
                same(np.asarray(label.data), found.masks[number - 1, 0] * number)
                same(seen(label), np.asarray(label.data))
                assert np.allclose(label.data_to_world((5, 7)), image.data_to_world((5, 7)))
            viewer.screenshot(str(folder / "nuclei.png"), canvas_only=False, flash=False)
            colors = [np.round(label.get_color(number), 2).tolist() for number, label in enumerate(labels, 1)]
            told = {"rgb": image.rgb, "labels": [label.name for label in labels], "colors": colors}
            viewer.layers.clear()
    return told


def views(_: Path) -> dict[str, Any]:
    """Looks about a large slide on a server 50 ms away, faster than it can answer."""
    instances = json.loads(slides.big_full_metadata(tiles=10_000, levels=8))
    greys = [bytes(imagecodecs.jpeg8_encode(np.full((FULL_TILE,) * 2 + (3,), grey, np.uint8))) for grey in range(256)]
    stored = [virtual_instance(each, lambda number: greys[number % 256], JPEG_BASELINE) for each in instances]
    random = np.random.default_rng(5)
    spent: list[float] = []
    show = screens.Screen.show

    def timed(self: screens.Screen, level: int, index: Any) -> Any:
        start = time.thread_time()
        found = show(self, level, index)
        if threading.current_thread() is threading.main_thread():
            spent.append(time.thread_time() - start)
        return found

    with DICOMwebServer(Archive(stored), middlewares=[faults.delay(0.05)]) as server, stage() as viewer:
        (layer,) = viewer.open(server.series_url(stored[0].study, stored[0].series), plugin=PLUGIN)
        settle(viewer)
        server.requests.clear()
        screens.Screen.show = timed  # type: ignore[method-assign]
        wanted, regions = set(), 0
        side = layer.data[0].shape[0] * layer.scale[0]
        for number in range(VIEWS):
            _camera(viewer).center = tuple(random.uniform(0.1 * side, 0.9 * side, 2))
            _camera(viewer).zoom = float(2.0 ** random.integers(-4, 1)) / layer.scale[0]
            before = (layer.data_level, layer.corner_pixels.tolist())
            viewer.window._qt_viewer.canvas.on_draw()  # what each picture begins with: it is painted now and then
            if number % 20 == 0:
                QApplication.processEvents()
            if before != (layer.data_level, layer.corner_pixels.tolist()):
                regions += 1
                (top, left), (bottom, right) = layer.corner_pixels // FULL_TILE
                wanted |= {(layer.data_level, y, x) for y in range(top, bottom + 1) for x in range(left, right + 1)}
        settle(viewer)
        level, ((top, left), (bottom, right)) = layer.data_level, layer.corner_pixels
        grid = -(-layer.data[level].shape[0] // FULL_TILE)
        y, x = np.mgrid[top : bottom + 1, left : right + 1] // FULL_TILE
        expected = (y * grid + x + 1) % 256
        assert np.abs(seen(layer).astype(int) - expected[..., None]).max() <= 1
        return {"views": regions, "wanted": len(wanted), "asked": _asked(server), "longest": max(spent)}


def waiting(_: Path) -> dict[str, Any]:
    """Looks about while the server answers nothing; then it does."""
    instances = json.loads(slides.big_full_metadata(tiles=4_000, levels=7))
    grey = faults.grey_jpeg(FULL_TILE, FULL_TILE)
    stored = [virtual_instance(each, lambda _: grey, JPEG_BASELINE) for each in instances]
    gate = threading.Event()
    gate.set()

    async def hold(request: Any) -> None:
        await asyncio.to_thread(gate.wait, SECONDS)
        if request.transport is None:  # given up meanwhile
            raise web.HTTPServiceUnavailable

    middleware = _before(hold)
    with DICOMwebServer(Archive(stored), middlewares=[middleware]) as server, stage() as viewer:
        (layer,) = viewer.open(server.series_url(stored[0].study, stored[0].series), plugin=PLUGIN)
        settle(viewer)
        gate.clear()
        side = layer.data[0].shape[0] * layer.scale[0]
        server.requests.clear()
        shown, wanted = [], set()
        for part in np.linspace(0.1, 0.9, 40):
            _camera(viewer).center = (part * side, part * side)
            _camera(viewer).zoom = 1 / layer.scale[0]
            viewer.window._qt_viewer.canvas.on_draw()
            QApplication.processEvents()
            shown.append(bool((seen(layer) == 128).all()))  # enlarged out of the coarsest level
            (top, left), (bottom, right) = layer.corner_pixels // FULL_TILE
            wanted |= {(y, x) for y in range(top, bottom + 1) for x in range(left, right + 1)}
        held = not screen_of(layer).is_complete  # type: ignore[union-attr]
        gate.set()
        settle(viewer)
        return {"shown": shown, "held": held, "level": layer.data_level, "wanted": len(wanted), "asked": _asked(server)}


def opening(_: Path) -> dict[str, Any]:
    """Opens a slide on a server that answers only once the viewer has gone on."""
    gate = threading.Event()
    beats = 0

    def beat() -> None:
        nonlocal beats
        beats += 1
        if beats % 10 == 0:
            gate.set()

    async def hold(_: Any) -> None:
        # Who waits for this in the thread of the viewer waits until the test is given up.
        assert await asyncio.to_thread(gate.wait, SECONDS / 4), "the viewer stood still"
        gate.clear()

    with DICOMwebServer(Archive(demo_files()), middlewares=[_before(hold)]) as server, stage() as viewer:
        timer = QTimer()
        timer.setInterval(5)
        timer.timeout.connect(beat)
        timer.start()
        (layer,) = get_reader(server.series_url(STUDY, SERIES))(server.series_url(STUDY, SERIES))  # type: ignore[misc]
        timer.stop()
        kinds = layer[2], len(layer[0])
        viewer.close()
    return {"beats": beats, "layer": kinds}


def planes(_: Path) -> dict[str, Any]:
    """Volumes taken in other planes, and two in one viewer."""
    told: dict[str, Any] = {}
    # As scanners do, around their isocentre: in two dimensions napari slices oblique layers where they meet its lines.
    middle = OBLIQUE.affine[:3, :3] @ (14.5, 19.5, 2.5)
    oblique = replace(OBLIQUE, origin=tuple(-middle))
    grids = {"axial": AXIAL, "sagittal": SAGITTAL, "coronal": CORONAL, "oblique": oblique}
    pixels = distinct((6, 40, 30))
    made = {name: volume(grid, pixels, name=name) for name, grid in grids.items()}
    everything = [dataset for each in made.values() for dataset in each.datasets]
    with DICOMwebServer(Archive(everything)) as server, stage() as viewer:
        for name, grid in grids.items():
            (layer,) = viewer.open(server.series_url(made[name].study_uid, made[name].series_uid), plugin=PLUGIN)
            settle(viewer)
            told[name] = [list(viewer.dims.order), str(_camera(viewer).orientation2d[0]), sorted(seen(layer).shape)]
            header = made[name].datasets[0]
            units = pixels * float(header.RescaleSlope) + float(header.RescaleIntercept)
            for k, j, i in ((0, 0, 0), (5, 39, 29), (2, 7, 11)):
                place = (grid.affine @ (i, j, k, 1))[:3]
                at = np.rint(layer.world_to_data(place[::-1])).astype(int)
                assert np.allclose(layer.data_to_world(at)[::-1], place, atol=1e-6), (name, place)
                assert layer.data[tuple(at)] == units[k, j, i], name
            viewer.layers.clear()
    return told


def _asked(server: DICOMwebServer) -> int:
    """Frames that a server was asked for."""
    lists = [request.path.rpartition("/")[2] for request in server.requests if request.resource == "frames"]
    return sum(len(numbers.split(",")) for numbers in lists)


def _before(act: Any) -> Any:
    @web.middleware
    async def middleware(request: web.Request, handler: Any) -> web.StreamResponse:
        await act(request)
        found: web.StreamResponse = await handler(request)
        return found

    return middleware


def errors(_: Path) -> dict[str, Any]:
    told: dict[str, Any] = {}
    series = by_series()["CT"]
    notes: list[str] = []
    napari.utils.notifications.notification_manager.notification_ready.connect(lambda note: notes.append(note.message))

    def refused(viewer: napari.Viewer, url: str) -> str:
        try:
            viewer.open(url, plugin=PLUGIN)
        except DicomZarrError as error:
            return str(error)
        return "opened"

    with stage() as viewer:
        with DICOMwebServer(Archive(series)) as server:
            good = url_of(server, series)
            told["wrong"] = refused(viewer, good[:-1] + ("1" if good[-1] != "1" else "2"))
            told["above"] = refused(viewer, good.partition("/series")[0] + "/series/")
            told["no url"] = refused(viewer, "dicomweb://127.0.0.1/studies/x/series/y")
        with socket.socket() as free:  # a port that was never met: what has answered before is waited for
            free.bind(("127.0.0.1", 0))
            told["no server"] = refused(viewer, re.sub(r":\d+/", f":{free.getsockname()[1]}/", good, count=1))
        with DICOMwebServer(Archive(series), middlewares=[faults.status(401, on="any")]) as server:
            told["401"] = refused(viewer, url_of(server, series))

        async def no_pixels(request: Any) -> None:
            if request.path[-1].isdigit():  # frames, or all of a series or an instance
                raise web.HTTPForbidden

        with DICOMwebServer(Archive(series), middlewares=[_before(no_pixels)]) as server:
            notes.clear()
            viewer.open(url_of(server, series), plugin=PLUGIN)
            until(lambda: bool(notes))
            told["frame"] = list(notes)
    return told


def browser(folder: Path) -> dict[str, Any]:
    series = by_series()
    everything = [*demo_files(), *(dataset for each in series.values() for dataset in each)]
    with DICOMwebServer(Archive(everything)) as server, stage() as viewer:
        dock, widget = viewer.window.add_plugin_dock_widget(PLUGIN, "Browse DICOM")
        assert isinstance(widget, Browser)
        widget.place.setText(server.url)
        widget.list_studies()
        until(lambda: widget.studies.count() > 0)
        listed = [widget.studies.item(row).text() for row in range(widget.studies.count())]
        row = next(number for number, text in enumerate(listed) if text.startswith("CT"))
        widget.studies.setCurrentRow(row)
        until(lambda: widget.series.count() == 2)  # CT and SEG
        until(lambda: not any(widget.series.item(each).icon().isNull() for each in range(2)))
        names = [widget.series.item(each).text() for each in range(2)]
        widget.series.setCurrentRow(next(number for number, text in enumerate(names) if text.startswith("CT")))
        widget.open_series()
        until(lambda: len(viewer.layers) == 4)
        settle(viewer)
        viewer.screenshot(str(folder / "browser.png"), canvas_only=False, flash=False)
        widget.search.setText("MR")
        widget.list_studies()
        until(lambda: widget.studies.count() == 1)
        found = widget.studies.item(0).text()
        widget.search.setText("Nonsense=1")
        widget.list_studies()
        until(lambda: "Nonsense" in widget.status.text())
        told = widget.status.text()
        viewer.window.remove_dock_widget(dock)
    return {"studies": listed, "series": names, "searched": found, "error": told}


if __name__ == "__main__":
    print(json.dumps(globals()[sys.argv[1]](Path(sys.argv[2]))))  # noqa: T201  # the parent reads it
