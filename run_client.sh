#!/usr/bin/env bash
# Start the kvline client. All options and arguments are passed to it (--help lists them).
set -eu
here=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")" && pwd)
python=$here/.venv/bin/python
[ -x "$python" ] || python=python3
# -P: do not import modules from the current folder.
PYTHONPATH=$here${PYTHONPATH:+:$PYTHONPATH} exec "$python" -P -m client "$@"
