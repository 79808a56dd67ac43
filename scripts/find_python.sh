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

# A link to python3.11 says its version. Debian, Homebrew and virtual environments have such links. To start a Python and
# ask takes 10 ms. Only links: a file with such a name may be a shim.
is_link_to_new_python() {
    [ -h "$1" ] && [ -x "$1" ] || return 1
    case $(readlink -f "$1" 2>/dev/null) in
        */shims/*) return 1 ;;
        */python3.1[1-9]* | */python3.[2-9][0-9]*) return 0 ;;
    esac
    return 1
}

# python3 is the first on the PATH to try, because in an active virtual environment it is the one that has the extras.
wanted=${1:-Python on the PATH}
if [ $# -eq 0 ]; then
    case $0 in */*) root=${0%/*}/.. ;; *) root=.. ;; esac
    root=$(cd "$root" && pwd)
    set -- "$root/.venv/bin/python" python3 python3.14 python3.13 python3.12 python3.11 python
fi

too_old=
for candidate; do
    path=$(command -v "$candidate") || continue
    if is_link_to_new_python "$path"; then
        echo "$path"
        exit
    fi
    status=0
    output=$("$path" -E -S -c "$check" 2>/dev/null) || status=$?
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
