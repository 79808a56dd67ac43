#!/usr/bin/env bash
# Start the kvline server; every option goes through to it (--help lists them).
set -eu
here=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")" && pwd)
python=$here/.venv/bin/python
[ -x "$python" ] || python=python3
# One arena for all threads: else the memory that one connection frees is of no use to the next (glibc only).
export MALLOC_ARENA_MAX=${MALLOC_ARENA_MAX:-1}
# -P: files in the current folder are not taken for our modules or Python's own.
PYTHONPATH=$here${PYTHONPATH:+:$PYTHONPATH} exec "$python" -P -m server "$@"
