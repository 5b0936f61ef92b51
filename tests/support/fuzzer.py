"""Schemathesis, over the OpenAPI document of a running server."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "negative_data_rejection",
    "unsupported_method",
)
"""All but `positive_data_acceptance` (not everything that a schema lets through makes sense: a taken login, a cursor
that nobody gave out) and those that need credentials in the document, or links between operations."""


@dataclass(frozen=True, slots=True)
class Fuzzed:
    """What came of it.

    :param cases: requests that were sent.
    :param report: what Schemathesis says, with a command for each failure that repeats it.
    """

    failed: bool
    cases: int
    report: str


def fuzz(
    url: str,
    document: Mapping[str, Any],
    *,
    seed: int,
    examples: int,
    every_case: bool = False,
    headers: Mapping[str, str] | None = None,
    ids: Mapping[str, str] | None = None,
    spare: tuple[str, ...] = (),
    timeout_s: float = 900.0,
) -> Fuzzed:
    """Good and bad requests to every operation; one that streams for ever is left out.

    :param document: what the API is like, as OpenAPI.
    :param examples: random ones per operation.
    :param every_case: also those that follow from its schema, one for each rule that may be kept or broken.
    :param ids: path parameters that are not made up, by name.
    :param spare: operations, by their id, that are left out.
    """
    with tempfile.TemporaryDirectory(prefix="colloquy-fuzz-") as folder:
        config = Path(folder, "schemathesis.toml")
        chosen = (f'"path.{name}" = {json.dumps(value)}' for name, value in (ids or {}).items())
        config.write_text("\n".join(("[parameters]", *chosen)))
        described = Path(folder, "openapi.json")
        described.write_text(json.dumps(document))
        phases = "coverage,fuzzing" if every_case else "fuzzing"
        command = [
            *(sys.executable, "-m", "schemathesis.cli", "--config-file", str(config)),
            *("run", str(described), "--url", url, "--phases", phases, "--checks", ",".join(_CHECKS)),
            *("--seed", str(seed), "--max-examples", str(examples), "--generation-database", "none"),
            *("--request-timeout", "20", "--max-redirects", "0", "--no-color", "--warnings", "off", "--no-shrink"),
            *("--exclude-path-regex", "/stream$", "--report", "json", "--report-json-path", f"{folder}/report.json"),
        ]
        for name, value in (headers or {}).items():
            command += ["--header", f"{name}: {value}"]
        for name in spare:
            command += ["--exclude-operation-id", name]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=timeout_s, check=False)
        report = json.loads(Path(folder, "report.json").read_text())
    return Fuzzed(done.returncode != 0, report["test_cases"]["generated"], done.stdout + done.stderr)
