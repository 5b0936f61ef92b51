#!/bin/sh
# Installs Debian packages where they are missing: as root by itself, else it names the command.
#
#   sh tools/debian.sh [--required] PACKAGE…
#
# A missing package is an error with --required and in CI (CI=true); otherwise a warning, and the tests that need it skip.
set -eu

required=false
if [ "${1:-}" = --required ]; then
    required=true
    shift
fi
if [ "${CI:-}" = true ] || [ "${CI:-}" = 1 ]; then required=true; fi

give_up() {
    echo "colloquy: $*" >&2
    if $required; then exit 1; fi
    exit 0
}

if ! command -v dpkg-query >/dev/null; then
    give_up "not a Debian machine: make sure of $* by yourself"
fi

missing=
for package in "$@"; do
    status=$(dpkg-query -W -f='${Status}' "$package" 2>/dev/null || true)
    [ "$status" = "install ok installed" ] || missing="$missing $package"
done
[ -n "$missing" ] || exit 0
if [ "$(id -u)" != 0 ]; then
    give_up "missing Debian packages; run: sudo apt-get install$missing"
fi

export DEBIAN_FRONTEND=noninteractive
printf '\n== Installing Debian packages:%s\n' "$missing"
install() {
    # shellcheck disable=SC2086 # one word per package
    apt-get install -y -q --no-install-recommends $missing </dev/null
}
# the lists of a fresh machine are empty, those of an old one may name versions that are gone
ls /var/lib/apt/lists/*Packages* >/dev/null 2>&1 || apt-get update -q </dev/null || true
install || { apt-get update -q </dev/null && install; } || give_up "apt-get install$missing failed"
