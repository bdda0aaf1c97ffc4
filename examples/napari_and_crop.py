"""A slide for those who know OME-Zarr: in napari, in ome-zarr-py, and a crop of it that stays.

Needs ``pip install "dicomzarr[napari]" ome-zarr``.
"""

from __future__ import annotations

import napari
import zarr
from ome_zarr.io import ZarrLocation
from ome_zarr.reader import Reader
from series import command_line, in_colour, series

import dicomzarr


def main() -> None:
    """Show the series, read it, and keep a part."""
    arguments = command_line(__doc__).parse_args()
    with series(arguments.url) as image:
        url = in_colour(image).series_url
        viewer = napari.Viewer()
        # napari takes a URL without a host for a path
        viewer.open(url.replace("dicomfile:///", "dicomfile://localhost/"), plugin="dicomzarr")
        store = zarr.storage.FsspecStore.from_url(image.url, read_only=True)
        print("ome-zarr-py:", next(Reader(ZarrLocation(store))()).data[0].shape)
        dicomzarr.export(
            url, "crop.zarr", region={"y": (400, 912), "x": (300, 812)}, images=[image.path], overwrite=True
        )
        print("crop:", zarr.open_group("crop.zarr", mode="r")[f"{image.path}/0".strip("/")].shape)
        viewer.close()


if __name__ == "__main__":
    main()
