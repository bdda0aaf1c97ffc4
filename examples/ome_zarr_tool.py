"""Tools of the OME-Zarr world on a DICOMweb series: yaozarrs takes the URL, ngff-zarr the fsspec mapper.

Needs ``pip install yaozarrs "ngff-zarr>=0.39"``.
"""

from __future__ import annotations

import fsspec
import ngff_zarr
import yaozarrs
from series import command_line, series


def main() -> None:
    """Validate the series as OME-Zarr, then read its levels."""
    arguments = command_line(__doc__).parse_args()
    with series(arguments.url) as image:
        url = image.url  # of a series of several images, that of the first
        group = yaozarrs.validate_zarr_store(url)
        print("valid OME-Zarr", group.attrs["ome"]["version"])
        levels = ngff_zarr.from_ngff_zarr(fsspec.get_mapper(url)).images
        for level in levels:
            print(level.dims, level.data.shape, level.scale["x"], (level.axes_units or {}).get("x"))
        coarsest = levels[-1].data.compute()
        print(f"coarsest level: mean {coarsest.mean():.1f}")


if __name__ == "__main__":
    main()
