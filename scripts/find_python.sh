#!/bin/sh
# Print the path of a Python that can run kvline, or one sentence on stderr and exit status 1.
#
#     scripts/find_python.sh             that of .venv, or the first on the PATH that is new enough
#     scripts/find_python.sh PYTHON      this one or none
set -eu

# Python 2 must be able to read this. Status 3 distinguishes an old Python from a program that has the name of one and
# does not run, such as a shim of pyenv.
check='import sys
if sys.version_info < (3, 11):
    sys.stdout.write("%d.%d.%d at %s" % (tuple(sys.version_info[:3]) + (sys.executable,)))
    sys.exit(3)
sys.stdout.write(sys.executable)'

# python3 is the first on the PATH to try, because in an active virtual environment it is the one that has the extras.
wanted=${1:-Python on the PATH}
[ $# -gt 0 ] || set -- "$(dirname "$0")/../.venv/bin/python" \
    python3 python3.14 python3.13 python3.12 python3.11 python

too_old=
for candidate; do
    status=0
    output=$("$candidate" -E -S -c "$check" 2>/dev/null) || status=$?
    case $status in
        0)
            echo "$output"
            exit
            ;;
        3) too_old=${too_old:-$output} ;;
    esac
done
if [ -n "$too_old" ]; then
    echo "kvline needs Python 3.11 or later; this is $too_old" >&2
else
    echo "kvline needs Python 3.11 or later, and there is no $wanted" >&2
fi
exit 1
