"""``python -m benchmarks [case …] [--quick] [--json FILE]``: measure, and print ours beside the plain app's.

Servers, model and clients are processes on this machine, on free ports of loopback. Each round starts fresh servers;
the two targets take turns, so that what the machine does in the meantime meets both.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from types import ModuleType
from typing import Any

from benchmarks.cases import (
    Measured,
    Options,
    fallback,
    fanout,
    idle,
    outage,
    pages,
    pause,
    resume,
    runners,
    shutdown,
    stalled,
    stop,
    storm,
    streams,
)
from benchmarks.figures import CaseResult, table
from benchmarks.targets import cores, raise_file_limit

_MODULES = (streams, runners, stop, fallback, pause, idle, shutdown, fanout, stalled, resume, storm, pages, outage)
CASES: dict[str, ModuleType] = {case.NAME: case for case in _MODULES}
TARGETS = ("colloquy", "plain")


def main() -> int:
    """The command line. 1 where a target was missed or a measurement failed."""
    arguments = _arguments()
    options = Options.quick() if arguments.quick else Options()
    given = {name: getattr(arguments, name) for name in asdict(options) if getattr(arguments, name) is not None}
    options = replace(options, **given)
    rounds = arguments.rounds or (1 if arguments.quick else 3)
    raise_file_limit()
    began_s = time.monotonic()
    results: list[CaseResult] = []
    failures: list[str] = []
    for name in arguments.case or CASES:
        case = CASES[name]
        result = CaseResult(case.NAME, case.TITLE, case.FIGURES)
        results.append(result)
        for number in range(rounds):
            targets = arguments.target if number % 2 == 0 else arguments.target[::-1]
            for target in targets:
                print(f"[{time.monotonic() - began_s:5.0f} s] {name}, round {number + 1}: {target}", file=sys.stderr)
                _one_round(case.measure, target, options, result, failures)
    print(table(results))
    for failure in failures:
        print(f"\nFAILED {failure}")
    missed = [row["figure"] for result in results for row in result.rows() if row["reached"] is False]
    print(f"\n{cores()} cores, Python {platform.python_version()}, {time.monotonic() - began_s:.0f} s in all")
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(_document(results, options, rounds, failures), indent=2) + "\n")
    return 1 if missed or failures else 0


def _one_round(
    measure: Callable[[str, Options], Measured], target: str, options: Options, result: CaseResult, failures: list[str]
) -> None:
    try:
        measured = measure(target, options)
    except (RuntimeError, OSError) as error:  # TimeoutError and ConnectionError are OSErrors
        failures.append(f"{result.case} on {target}: {type(error).__name__}: {error}")
        return
    result.add(target, measured)
    result.notes.extend(f"{target}: {note}" for note in measured.notes)


def _document(results: list[CaseResult], options: Options, rounds: int, failures: list[str]) -> dict[str, Any]:
    return {
        "machine": {"cores": cores(), "platform": platform.platform(), "python": platform.python_version()},
        "rounds": rounds,
        "options": asdict(options),
        "failures": failures,
        "cases": {
            result.case: {"title": result.title, "rows": result.rows(), "rounds": result.values, "notes": result.notes}
            for result in results
        },
    }


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__.splitlines()[0])
    parser.add_argument("case", nargs="*", type=_case_name, help=f"which: {', '.join(CASES)}; default: all")
    parser.add_argument("--quick", action="store_true", help="small sizes, one round")
    parser.add_argument("--rounds", type=int, help="interleaved rounds (default 3)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures, of every round")
    parser.add_argument(
        "--target", action="append", choices=TARGETS, help="only this server; may be repeated (default: both)"
    )
    for name, value in asdict(Options()).items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=type(value), help=f"default {value:g}")
    arguments = parser.parse_args()
    arguments.target = arguments.target or list(TARGETS)
    return arguments


def _case_name(text: str) -> str:
    if text not in CASES:
        raise argparse.ArgumentTypeError(f"{text!r} is none of {', '.join(CASES)}")
    return text


if __name__ == "__main__":
    sys.exit(main())
