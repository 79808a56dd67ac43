#!/usr/bin/env bash
# Start the kvline client; every option and word goes through to it (--help tells).
set -eu
here=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")" && pwd)
python=$here/.venv/bin/python
[ -x "$python" ] || python=python3
# -P: files in the current folder are not taken for our modules or Python's own.
PYTHONPATH=$here${PYTHONPATH:+:$PYTHONPATH} exec "$python" -P -m client "$@"
