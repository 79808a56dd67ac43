#!/bin/sh
# Start the kvline server. All options are passed to it (--help lists them).
set -eu
# macOS before 12.3 has no readlink -f.
here=$(cd "$(dirname "$(readlink -f "$0" 2>/dev/null || printf '%s' "$0")")" && pwd)
python=$("$here/scripts/find_python.sh") || exit
# One malloc arena for all threads. With one per thread, memory freed by a connection is not reused by others (glibc).
export MALLOC_ARENA_MAX="${MALLOC_ARENA_MAX:-1}"
PYTHONPATH=$here${PYTHONPATH:+:$PYTHONPATH}
KVLINE_PROGRAM=$(basename "$0") # how the program names itself
export PYTHONPATH KVLINE_PROGRAM
# -P: do not import modules from the current folder.
exec "$python" -P -m server "$@"
