"""What reading costs, beside our peers and the limit: ``python tests/benchmarks/run.py`` prints it all.

All readers of a task take turns in one run, and medians count; each runs in a process of its own, and so do servers.
"Limit" is one round trip plus imagecodecs alone with a thread for each core, into the layout that the reader gives.
``docs/benchmarks.md`` says what each row means. ``--tiny`` proves in seconds that all of it still works.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import report
from exports import measure_exports
from files import measure_files
from levels import measure_level, measure_memory
from measuring import Results
from regions import measure_codings, measure_patches, measure_region
from rich.console import Console
from settings import Settings
from sparse_open import measure_sparse
from strategies import measure_strategies
from tiles import measure_tiles
from volumes import measure_volume
from zarr_tiles import measure_zarr

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

BENCHMARKS: dict[str, Callable[[Settings], Results]] = {
    "region": measure_region,
    "codings": measure_codings,
    "patches": measure_patches,
    "level": measure_level,
    "memory": measure_memory,
    "tile": measure_tiles,
    "zarr": measure_zarr,
    "sparse": measure_sparse,
    "strategies": measure_strategies,
    "volume": measure_volume,
    "files": measure_files,
    "export": measure_exports,
}


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=BENCHMARKS, default=list(BENCHMARKS), metavar="NAME")
    parser.add_argument("--tiny", action="store_true", help="small slides and one round, to see that it works")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--latency", type=float, nargs="+", default=[0, 20, 80], help="milliseconds")
    parser.add_argument("--json", type=Path, help="write all that was found here")
    parser.add_argument("--markdown", type=Path, help="write the ratios behind the mark of this page")
    peer = "a Python that has ez-wsi-dicomweb; default: the environment's DICOMZARR_EZ_WSI"
    parser.add_argument("--ez-wsi", default=os.environ.get("DICOMZARR_EZ_WSI"), metavar="PYTHON", help=peer)
    root = "the root folder of a system with another Orthanc; default: the environment's DICOMZARR_ORTHANC_ROOT"
    parser.add_argument(
        "--orthanc-root", type=Path, default=os.environ.get("DICOMZARR_ORTHANC_ROOT"), metavar="DIR", help=root
    )
    return parser.parse_args(arguments)


def main(arguments: Sequence[str]) -> None:
    """Run what the command line asks for."""
    chosen = parse(arguments)
    settings = Settings(
        tiny=chosen.tiny,
        rounds=1 if chosen.tiny else chosen.rounds,
        latencies=tuple(chosen.latency),
        ez_wsi=chosen.ez_wsi,
        orthanc_root=chosen.orthanc_root,
    )
    console = Console(width=None if sys.stdout.isatty() else 200)
    console.print(f"{report.machine()}\n")
    results = Results()
    for name in chosen.only:
        found = BENCHMARKS[name](settings)
        console.print(report.rows_table(found.rows), report.targets_table(found.targets))
        results.rows += found.rows
        results.targets += found.targets
        for note in found.notes:
            results.note(note)
    console.print(*(f"Note: {note}." for note in results.notes), sep="\n")
    missed = sum(not target.reached for target in results.targets)
    doubt = " (which says nothing: all was tiny)" if settings.tiny else ""
    console.print(f"{len(results.targets) - missed} of {len(results.targets)} targets are reached{doubt}.")
    if chosen.json:
        chosen.json.write_text(json.dumps(report.as_json(results), indent=2))
    if chosen.markdown:
        report.write_page(chosen.markdown, results)


if __name__ == "__main__":
    main(sys.argv[1:])
