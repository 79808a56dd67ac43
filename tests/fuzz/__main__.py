"""Run fuzz targets, or replay an input.

python -m tests.fuzz                         every target, 60 seconds together
python -m tests.fuzz --seconds 600 resp      one target for ten minutes
python -m tests.fuzz --replay FILE resp      the traceback of an input that fails
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

from tests.fuzz import targets
from tests.fuzz.engines import ATHERIS, AUTO, HYPOTHESIS


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description="Run fuzz targets, or replay an input.")
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"{', '.join(targets.NAMES)}; default: all")
    parser.add_argument("--seconds", type=int, default=60, help="the duration of all targets together (60)")
    parser.add_argument(
        "--engine", choices=[AUTO, ATHERIS, HYPOTHESIS], default=AUTO, help="auto: atheris if it is installed"
    )
    parser.add_argument("--replay", type=Path, metavar="FILE", help="run the targets on one input")
    options = parser.parse_args()
    names = options.targets or targets.NAMES
    if unknown := set(names).difference(targets.NAMES):
        parser.error(f"no such target: {', '.join(sorted(unknown))}")
    if options.replay is not None:
        for name in names:
            targets.load(name).check(options.replay.read_bytes())
        return 0
    seconds = max(1, options.seconds // len(names))
    results = [run(name, seconds, options.engine) for name in names]
    return 0 if all(results) else 1


def run(name: str, seconds: int, engine: str) -> bool:
    """Run one target in a process of its own, because atheris exits the process. Return whether it found no failure."""
    print(f"{name}: {seconds} s, ", end="", flush=True)
    command = [sys.executable, "-m", "tests.fuzz.engines", name, str(seconds), engine]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    if not done.returncode:
        print("no failure")
        return True
    print("FAILED")
    sys.stdout.flush()
    sys.stdout.buffer.write(done.stdout)
    print(f"Reproduce with: {Path(sys.executable).name} -m tests.fuzz --replay FILE {name}")
    return False


if __name__ == "__main__":
    sys.exit(main())
