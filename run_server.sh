#!/usr/bin/env bash
# Start the kvline server. All options are passed to it (--help lists them).
set -eu
here=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")" && pwd)
python=$here/.venv/bin/python
[ -x "$python" ] || python=python3
# One malloc arena for all threads. With one per thread, memory freed by a connection is not reused by others (glibc).
export MALLOC_ARENA_MAX=${MALLOC_ARENA_MAX:-1}
# -P: do not import modules from the current folder.
PYTHONPATH=$here${PYTHONPATH:+:$PYTHONPATH} exec "$python" -P -m server "$@"
