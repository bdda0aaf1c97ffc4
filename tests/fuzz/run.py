"""Bad input to everything that reads what a server sends: ``python tests/fuzz/run.py --minutes 10``.

Metadata, multipart bodies, frames and whole instances are made good and then changed at random. Only an error of
dicomzarr, or the right answer, may come of it: no other exception, no warning, no crash of a codec, no hang, no flood
of memory. What a message or a document says may hold nothing that was planted as a patient's text.

The same seed makes the same inputs. One that did what it must not is written to a folder, and named by its target,
seed and number: ``--only TARGET --seed SEED --first NUMBER --cases 1`` tries it again. Ends with status 0 if there is
none.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cases import HARNESS, TARGETS, case_of, target
from watching import Limits, try_target

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from watching import Finding, Tried

_BEGAN: Final = time.perf_counter()
_MIB: Final = 2**20


def say(text: str) -> None:
    """To whoever runs this."""
    print(f"[{time.perf_counter() - _BEGAN:6.1f} s] {text}", flush=True)  # noqa: T201  # a command


def summarize(name: str, tried: Tried) -> None:
    """What came out of the inputs of a target."""
    say(f"{name}: {tried.cases} cases")
    for word, count in tried.met.most_common():
        say(f"{name}: {count:9} {word}")


def written(findings: Iterable[Finding], folder: Path) -> list[str]:
    """Write the first input of each kind down; gives a line for each kind."""
    kinds: dict[tuple[str, str], list[Finding]] = {}
    for finding in findings:
        kinds.setdefault((finding.target, finding.what), []).append(finding)
    return [_written(found, folder) for found in kinds.values()]


def _written(found: Sequence[Finding], folder: Path) -> str:
    first = found[0]
    path = folder / f"{first.target}-{first.seed}-{first.number}"
    case = case_of(target(first.target), first.target, first.seed, first.number)
    folder.mkdir(parents=True, exist_ok=True)
    path.with_suffix(".bin").write_bytes(case.data)
    path.with_suffix(".txt").write_text(f"{first.what}\n\n{json.dumps(case.settings, indent=2)}\n\n{first.text}")
    again = f"--only {first.target} --seed {first.seed} --first {first.number} --cases 1"
    lines = [line for line in first.text.splitlines() if line.strip()]
    told = next((line for line in lines if line.startswith("Fatal")), (lines or [""])[-1])
    return f"{len(found)} times {first.what}: {told[:200]}\n    {path}.bin, {again}"


def main(arguments: Sequence[str]) -> int:
    """Fuzz."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10, help="for all targets together")
    parser.add_argument("--seed", type=int, default=int(time.time()) % 10_000, help="of all choices")
    parser.add_argument("--only", nargs="+", choices=(*TARGETS, *HARNESS), default=TARGETS, help="targets")
    parser.add_argument("--first", type=int, default=0, help="the number of the first input")
    parser.add_argument("--cases", type=int, help="the most inputs for each target; else as many as the time allows")
    parser.add_argument("--hang", type=float, default=20, help="seconds that no input may take")
    parser.add_argument("--memory", type=int, default=1024, help="MiB that no input may take")
    parser.add_argument("--folder", type=Path, help="where inputs that went wrong are written; a new one by default")
    chosen = parser.parse_args(arguments)
    say(f"seed {chosen.seed}")
    seconds = chosen.minutes * 60 / len(chosen.only)
    limits = Limits(seconds, chosen.cases, chosen.hang, chosen.memory * _MIB)
    findings: list[Finding] = []
    for name in chosen.only:
        tried = try_target(name, chosen.seed, limits, say, chosen.first)
        summarize(name, tried)
        findings += tried.findings
    wrong = written(findings, chosen.folder or Path(tempfile.gettempdir()) / "dicomzarr-fuzz") if findings else []
    for line in wrong or ["All is well."]:
        say(f"WRONG: {line}" if wrong else line)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
