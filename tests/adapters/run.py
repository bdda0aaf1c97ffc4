"""The adapters against the real packages: ``python tests/adapters/run.py NAME...``.

Each gets an environment of its own in a temporary folder, with this checkout in it, and its check runs there against a
server of the same process. The suite itself tests the adapters with stand-ins, for these packages are large.
``--environments FOLDER`` keeps the environments and takes up those that are there.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
TORCH = "torch==2.13.0"
VERSIONS = (
    "import sys; from importlib.metadata import version; print(*(f'{n} {version(n)}' for n in sys.argv[1:]), sep=', ')"
)


@dataclass(frozen=True)
class Adapter:
    """What one check needs; it is ``check_NAME.py`` beside this file."""

    packages: tuple[str, ...]
    """What pip installs, besides the checkout."""
    told: tuple[str, ...]
    """Distributions whose versions are told."""
    python: str = "python3.11"
    also: tuple[str, ...] = ()
    """Folders of this repository that hold distributions of their own."""
    alone: bool = False
    """The checkout is not installed, for the packages want other versions: the check asks a gateway elsewhere."""


ADAPTERS = {
    "bioio": Adapter(
        ("bioio>=3.6", "bioio-ome-zarr"), ("bioio", "bioio-base", "bioio-ome-zarr"), also=("plugins/bioio-dicomzarr",)
    ),
    "export_bioio": Adapter(
        ("tifffile>=2024.8", "bioio>=3.6", "bioio-ome-zarr>=3.8", "bioio-ome-tiff>=1.4"), ("bioio", "bioio-ome-zarr")
    ),
    "export_napari": Adapter(("napari-ome-zarr>=0.10",), ("napari-ome-zarr",)),
    "monai": Adapter((TORCH, "monai>=1.6", "nibabel"), ("monai", "torch", "nibabel")),
    "neuroglancer": Adapter(("neuroglancer>=2.41", "playwright>=1.49"), ("neuroglancer",)),
    "spatialdata": Adapter(("spatialdata>=0.8",), ("spatialdata", "xarray"), python="python3.13"),
    "tiatoolbox": Adapter(("tiatoolbox>=2.1",), ("tiatoolbox", "zarr"), alone=True),
    "torch": Adapter((TORCH, "numpy", "pytest", "pytest-timeout", "pytest-xdist"), ("torch", "numpy")),
    "torchio": Adapter((TORCH, "torchio>=1.2"), ("torchio", "torch", "SimpleITK")),
    "wsidata": Adapter(
        ("wsidata>=0.12", "openslide-python", "openslide-bin"), ("wsidata", "spatialdata"), python="python3.13"
    ),
}


def found(python: str) -> str:
    """An interpreter by name; pyenv may have one without its being the one that runs by that name."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    kept = sorted(pyenv.glob(f"{python.removeprefix('python')}.*/bin/{python}"))
    return str(kept[-1]) if kept else python


def python_of(name: str, adapter: Adapter, folder: Path) -> Path:
    """The interpreter of an environment, which is made if it is not there."""
    python = folder / name / "bin" / "python"
    if not python.exists():
        subprocess.run([found(adapter.python), "-m", "venv", str(folder / name)], check=True)  # noqa: S603  # our own table
    local = [] if adapter.alone else [str(ROOT), *(str(ROOT / each) for each in adapter.also)]
    subprocess.run([str(python), "-m", "pip", "install", "-q", *local, *adapter.packages], check=True)  # noqa: S603  # as above
    return python


def run(name: str, folder: Path) -> bool:
    """Run one check; gives whether it passed."""
    adapter = ADAPTERS[name]
    try:
        python = python_of(name, adapter, folder)
    except (OSError, subprocess.CalledProcessError) as error:
        print(f"{name}: there is no environment: {error}")  # noqa: T201  # a command
        return False
    told = subprocess.run([str(python), "-c", VERSIONS, *adapter.told], capture_output=True, text=True, check=False)  # noqa: S603  # as above
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    environment["DICOMZARR_PYTHON"] = sys.executable
    check = [str(python), str(HERE / f"check_{name}.py")]
    ended = subprocess.run(check, cwd=folder, env=environment, check=False, timeout=1800)  # noqa: S603  # as above
    print(f"{name}: {'passed' if ended.returncode == 0 else 'FAILED'}, with {told.stdout.strip()}", flush=True)  # noqa: T201  # a command
    return ended.returncode == 0


def main(arguments: Sequence[str]) -> int:
    """Run what the command line names, all by default."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", choices=[*ADAPTERS, []], metavar="NAME", help=", ".join(ADAPTERS))
    parser.add_argument("--environments", type=Path, metavar="FOLDER", help="where they are kept")
    chosen = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as temporary:
        folder = (chosen.environments or Path(temporary)).absolute()
        passed = [run(name, folder) for name in chosen.names or ADAPTERS]
    return 0 if all(passed) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
