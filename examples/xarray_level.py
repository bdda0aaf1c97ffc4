"""A level of a slide in micrometres, with xarray."""

from __future__ import annotations

import xarray as xr
from series import command_line, in_colour, series


def main() -> None:
    """Cut a field out of a level by its place on the slide, and average it to coarser pixels."""
    parser = command_line(__doc__)
    parser.add_argument("--level", type=int, default=1, help="0 is the finest; the coarsest where there are fewer")
    arguments = parser.parse_args()
    with series(arguments.url) as image:
        number = min(arguments.level, len(in_colour(image).levels) - 1)
        level = xr.open_dataset(image.series_url, engine="dicomzarr", group=f"{image.path}/{number}".strip("/"))
        print(dict(level["image"].sizes), "in", level["x"].attrs.get("units", "pixels"))
        y, x = (float(level[axis][level.sizes[axis] // 2]) for axis in "yx")
        field = level["image"].sel(y=slice(y - 50, y + 50), x=slice(x - 50, x + 50))
        print("100 um x 100 um are", dict(field.sizes))
        coarse = field.coarsen(y=10, x=10, boundary="pad").mean()
        means = coarse.mean(["y", "x"]).values.round(1)
        print(f"coarsened to {dict(coarse.sizes)}, mean {means}")


if __name__ == "__main__":
    main()
