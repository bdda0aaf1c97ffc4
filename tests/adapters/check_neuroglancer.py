"""neuroglancer draws a slice from the gateway, by 0.5 and by 0.4, as its window says: read back as a screenshot."""

from __future__ import annotations

import neuroglancer
import numpy as np
import zarr
from demo_series import demo_series
from playwright.sync_api import sync_playwright

import dicomzarr
from dicomzarr.faces.gateway.server import Gateway, Settings
from dicomzarr.faces.gateway.upstreams import Upstream
from dicomzarr.session.kinds import parse_url

SIDE = 200
SLICE = 20
LOW, HIGH = 800, 1400
_SHADER = f"""#uicontrol invlerp normalized(range=[{LOW}, {HIGH}])
void main() {{ emitGrayscale(normalized(getDataValue())); }}"""
_ARGUMENTS = (
    "--no-sandbox",
    "--disable-quic",
    "--use-gl=angle",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
)


def check(url: str, scheme: str, expected: np.ndarray, page: object) -> None:
    """The middle of a slice, a pixel of the screen for each of it."""
    multiscales = zarr.open_group(url, mode="r").attrs.asdict()
    (multiscale,) = multiscales.get("ome", multiscales)["multiscales"]
    scale, translation = (
        np.array(next(each[kind] for each in multiscale["datasets"][0]["coordinateTransformations"] if kind in each))
        for kind in ("scale", "translation")
    )
    # Translations are of the middle of a voxel, positions of neuroglancer of its corner.
    position = translation / scale + (SLICE, *(size / 2 - 0.5 for size in expected.shape))
    viewer = neuroglancer.Viewer()
    with viewer.txn() as state:
        state.dimensions = neuroglancer.CoordinateSpace(names=["x", "y", "z"], units="mm", scales=scale[::-1])
        state.layers["image"] = neuroglancer.ImageLayer(source=f"{scheme}://{url}", shader=_SHADER, opacity=1)
        state.layout = "xy"
        state.position = position[::-1]
        state.cross_section_scale = 1
        state.show_axis_lines = state.show_scale_bar = state.show_default_annotations = False
    page.goto(viewer.get_viewer_url())  # type: ignore[attr-defined]
    shot = viewer.screenshot(size=[2 * SIDE, 2 * SIDE]).screenshot.image_pixels[..., 0].astype(float)
    top, left = (size // 2 - SIDE // 2 for size in shot.shape)
    seen = shot[top : top + SIDE, left : left + SIDE]
    middle = [size // 2 - SIDE // 2 for size in expected.shape]
    stored = expected[middle[0] : middle[0] + SIDE, middle[1] : middle[1] + SIDE].astype(float)
    wanted = 255 * np.clip((stored - LOW) / (HIGH - LOW), 0, 1)
    different = np.abs(seen - wanted) > 2
    assert wanted.std() > 20
    assert different.mean() < 0.01, (url, different.mean(), np.abs(seen - wanted).max())


if __name__ == "__main__":
    neuroglancer.set_server_bind_address("127.0.0.1")
    with demo_series() as demo, sync_playwright() as playwright:
        base, _, path = demo.ct.partition("/studies/")
        upstream = Upstream("demo", parse_url(base), {})
        with Gateway([upstream], Settings(port=0)) as running:
            browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=list(_ARGUMENTS))
            finest = dicomzarr.open(demo.ct).levels[0]
            for version, scheme in (("0.5", "zarr3"), ("0.4", "zarr2")):
                check(f"{running.url}/{version}/studies/{path}.zarr", scheme, finest[SLICE], browser.new_page())
            browser.close()
    neuroglancer.stop()
