"""A level of a slide in micrometres, with xarray."""

from __future__ import annotations

import xarray as xr
from series import command_line, series_url


def main() -> None:
    """Cut a field out of a level by its place on the slide, and average it to coarser pixels."""
    parser = command_line(__doc__)
    parser.add_argument("--group", default="1", help="the level; 0 is the finest")
    arguments = parser.parse_args()
    with series_url(arguments.url) as url:
        level = xr.open_dataset(url, engine="dicomzarr", group=arguments.group)
        print(dict(level["image"].sizes), "in", level["x"].attrs.get("units", "pixels"))
        field = level["image"].sel(y=slice(200, 300), x=slice(300, 400))
        print("100 um x 100 um are", dict(field.sizes))
        coarse = field.coarsen(y=10, x=10, boundary="trim").mean()
        means = coarse.mean(["y", "x"]).values.round(1)
        print(f"coarsened to {dict(coarse.sizes)}, mean {means}")


if __name__ == "__main__":
    main()
