"""A gateway before the demo slide, for a check whose package cannot live beside dicomzarr.

Run as ``python demo_gateway.py FILE``: it writes the pixels of each level to FILE (npz), and prints as JSON the URL of
the image and its scale; it ends when its standard input closes.
"""

from __future__ import annotations

import json
import sys

import numpy as np
from demo_series import demo_series

import dicomzarr
from dicomzarr.faces.gateway.server import Gateway, Settings
from dicomzarr.faces.gateway.upstreams import Upstream
from dicomzarr.session.kinds import parse_url

if __name__ == "__main__":
    with demo_series() as demo:
        base, _, path = demo.slide.partition("/studies/")
        image = dicomzarr.open(demo.slide)
        np.savez(sys.argv[1], *(level[...] for level in image.levels))
        with Gateway([Upstream("demo", parse_url(base), {})], Settings(port=0)) as running:
            url = f"{running.url}/0.4/studies/{path}.zarr"
            print(json.dumps({"url": url, "scale": image.levels[0].scale}), flush=True)  # noqa: T201  # the other reads it
            sys.stdin.read()
