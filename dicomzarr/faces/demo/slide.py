"""The slide that comes with the package: small, real tissue, nobody's.

``data/README.md`` says where the pixels come from; ``tools/make_demo_slide.py`` writes the files.
"""

from __future__ import annotations

import importlib.resources
from pathlib import Path

STUDY = "2.25.300586021337281866229653187129042387061"
"""StudyInstanceUID (0020,000D) of the demo slide."""

SERIES = "2.25.119026173450289514408312696725130917394"
"""SeriesInstanceUID (0020,000E) of the demo slide."""


def demo_files() -> list[Path]:
    """The Part-10 files of the demo slide: its levels, finest first, then its thumbnail.

    Returns:
        Paths inside the installed package, which pip always unpacks.
    """
    folder = Path(str(importlib.resources.files("dicomzarr.faces.demo") / "data"))
    return sorted(folder.glob("*.dcm"))
