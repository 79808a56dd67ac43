#!/bin/sh
# A demonstration of kvline over TCP, which checks every reply (scripts/demo_tcp.py describes it).
#
#     scripts/demo_tcp.sh [HOST:PORT]      a running, empty server; without it, one is started on a free port
set -eu
cd "$(dirname "$0")/.."
python=$(scripts/find_python.sh) || exit
exec "$python" -m scripts.demo_tcp "$@"
