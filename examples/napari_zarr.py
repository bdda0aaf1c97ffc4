"""A series in napari, read as the OME-Zarr that it looks like.

Needs ``pip install "dicomzarr[napari]"``. ``--screenshot out.png`` writes a picture and ends.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import dask.array as da
import napari
import numpy as np
import zarr
from series import command_line, series

if TYPE_CHECKING:
    import numpy.typing as npt


class ColourLast:
    """An array with colour first as one with colour last, as napari takes it; reads what is looked at, no more."""

    def __init__(self, array: zarr.Array[Any]) -> None:
        self._array = array
        self.dtype = array.dtype
        self.ndim = array.ndim
        self.size = array.size
        self.shape = (*array.shape[1:], array.shape[0])

    def __getitem__(self, index: Any) -> npt.NDArray[Any]:
        places = np.index_exp[index]
        places, colours = places[: self.ndim - 1], places[self.ndim - 1 :]
        pixels = np.asarray(self._array[(slice(None), *places)])
        return np.moveaxis(pixels, 0, -1)[(..., *colours)]

    def __array__(self, dtype: npt.DTypeLike | None = None) -> npt.NDArray[Any]:
        return np.asarray(self[...], dtype=dtype)


def add_series(viewer: napari.Viewer, url: str) -> None:
    """Show the image of a series: colour as one layer, channels that are no colours as a layer each."""
    group = zarr.open_group(url, mode="r")
    ome: Any = group.attrs["ome"]
    multiscale, channels = ome["multiscales"][0], ome["omero"]["channels"]
    levels = [group[dataset["path"]] for dataset in multiscale["datasets"]]
    scale = multiscale["datasets"][0]["coordinateTransformations"][0]["scale"]
    axes = multiscale["axes"]
    places = [number for number, axis in enumerate(axes) if axis["name"] != "c"]
    shown: dict[str, Any] = {
        "multiscale": True,
        "scale": [scale[number] for number in places],
        "units": [axes[number].get("unit", "pixel") for number in places],
    }
    if [channel["label"] for channel in channels] == ["R", "G", "B"]:
        viewer.add_image([ColourLast(level) for level in levels], rgb=True, name=multiscale["name"], **shown)
        return
    shown["contrast_limits"] = [(channel["window"]["start"], channel["window"]["end"]) for channel in channels]
    shown["colormap"] = [f"#{channel['color']}" for channel in channels]
    shown["name"] = [channel["label"] for channel in channels]
    arrays = [da.from_zarr(level) for level in levels]
    if len(places) == len(axes):
        arrays = [array[np.newaxis] for array in arrays]
    viewer.add_image(arrays, channel_axis=0, **shown)


def main() -> None:
    """Show a series until the window is closed, or take a screenshot of it."""
    parser = command_line(__doc__)
    parser.add_argument("--screenshot", metavar="PNG", help="write the canvas to this file and end")
    arguments = parser.parse_args()
    # zarr reads 10 chunks at a time unless told otherwise: more of them travel in fewer requests
    with series(arguments.url) as image, zarr.config.set({"async.concurrency": 64}):
        viewer = napari.Viewer()
        add_series(viewer, image.url)
        if arguments.screenshot is None:
            napari.run()
            return
        picture = viewer.screenshot(arguments.screenshot, size=(600, 800), flash=False)
        viewer.close()
        print(f"{arguments.screenshot}: {picture.shape[1]} x {picture.shape[0]} pixels")


if __name__ == "__main__":
    main()
