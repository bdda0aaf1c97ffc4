"""A slide in wsidata: properties, regions, thumbnail and store, as of OpenSlide's reader on the same files."""

from __future__ import annotations

import pickle
import tempfile
from pathlib import Path

import numpy as np
from wsidata import open_wsi as open_file

from dicomzarr.demo.show import demo_server, demo_url
from dicomzarr.demo.slide import demo_files
from dicomzarr.wsidata import open_wsi


def main() -> None:
    """Compare with the file."""
    expected = open_file(demo_files()[0], store=None, reader="openslide")
    with demo_server() as server, tempfile.TemporaryDirectory() as folder:
        found = open_wsi(demo_url(server), store=Path(folder) / "kept.zarr")
        assert found.properties == expected.properties, (found.properties, expected.properties)
        for region in ((0, 0, 100, 80, 0), (304, 504, 100, 80, 2), (1304, 1504, 200, 200, 1)):
            ours, theirs = found.reader.get_region(*region), expected.reader.get_region(*region)
            np.testing.assert_array_equal(ours, theirs)
        np.testing.assert_array_equal(found.reader.get_thumbnail(150), expected.reader.get_thumbnail(150))
        sent = pickle.loads(pickle.dumps(found.reader))  # noqa: S301  # our own
        np.testing.assert_array_equal(sent.get_region(0, 0, 64, 64), expected.reader.get_region(0, 0, 64, 64))
        assert set(found.associated_images) == set(expected.associated_images)
        found.write()
        assert open_wsi(demo_url(server), store=Path(folder) / "kept.zarr").properties == expected.properties


if __name__ == "__main__":
    main()
