#!/bin/sh
# Start the kvline client. All options and arguments are passed to it (--help lists them).
set -eu
# Without a program for each step: a process takes a millisecond. macOS before 12.3 has no readlink -f.
script=$0
[ ! -h "$0" ] || script=$(readlink -f "$0" 2>/dev/null) || script=$0
case $script in */*) ;; *) script=./$script ;; esac
here=$(cd "${script%/*}" && pwd -P)
python=$("$here/scripts/find_python.sh") || exit
PYTHONPATH=$here${PYTHONPATH:+:$PYTHONPATH}
KVLINE_PROGRAM=${0##*/} # how the program names itself
export PYTHONPATH KVLINE_PROGRAM
# -P: do not import modules from the current folder, or from that of the file. -m would import runpy too.
exec "$python" -P "$here/client/__main__.py" "$@"
