#!/bin/sh
# Start the kvline client. All options and arguments are passed to it (--help lists them).
set -eu
# macOS before 12.3 has no readlink -f.
here=$(cd "$(dirname "$(readlink -f "$0" 2>/dev/null || printf '%s' "$0")")" && pwd)
python=$("$here/scripts/find_python.sh") || exit
PYTHONPATH=$here${PYTHONPATH:+:$PYTHONPATH}
KVLINE_PROGRAM=$(basename "$0") # how the program names itself
export PYTHONPATH KVLINE_PROGRAM
# -P: do not import modules from the current folder.
exec "$python" -P -m client "$@"
