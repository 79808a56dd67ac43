"""Search for an input that violates a target's property, by atheris or by hypothesis.

    python -m tests.fuzz.engines TARGET SECONDS ENGINE

runs one target in this process, because atheris exits the process at its end. The exit status is 0 if no such input was
found. `tests.fuzz.__main__` runs one such process per target.
"""

from __future__ import annotations

import sys
import tempfile
import time
import traceback
from hashlib import sha1
from importlib.util import find_spec
from pathlib import Path

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.fuzz import targets
from tests.fuzz.targets import Target

WORK = Path(__file__).parents[2] / ".fuzz"
"""What runs leave: failing inputs, and inputs that reached new code. Not in the repository."""

FAILURES = WORK / "failures"

MAX_SIZE = 2048
"""Bytes of an input."""

EXAMPLES = 200
"""Inputs that hypothesis tries in a row. It then begins again with other ones."""

ATHERIS, HYPOTHESIS, AUTO = "atheris", "hypothesis", "auto"


def search(target: Target, seconds: float, folder: Path = FAILURES) -> Path | None:
    """Try random inputs for some seconds, by hypothesis.

    Store the smallest input that fails in the folder, print its traceback, and return its path.
    """
    failing: list[tuple[bytes, str]] = []
    seeds = [path.read_bytes() for path in target.seeds]
    part = st.binary(max_size=8) | st.sampled_from([*target.tokens, *seeds])
    inputs = st.lists(part, max_size=20).map(b"".join).filter(lambda data: len(data) <= MAX_SIZE)
    end = time.monotonic() + seconds

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate, Phase.shrink],
    )
    @given(inputs)
    def attempt(data: bytes) -> None:
        if time.monotonic() >= end and not failing:  # a failing input is shrunk, however long that takes
            return
        try:
            target.check(data)
        except Exception:
            failing.append((data, traceback.format_exc()))
            raise

    while time.monotonic() < end:
        try:
            attempt()
        except BaseException:
            if not failing:  # a problem of the search itself, or Ctrl-C
                raise
            # The last failing example is the one that hypothesis has shrunk.
            data, trace = failing[-1]
            folder.mkdir(parents=True, exist_ok=True)
            path = folder / f"{target.name}-{sha1(data, usedforsecurity=False).hexdigest()}"
            path.write_bytes(data)
            print(f"{trace}\n{target.name}: failing input written to {path}", file=sys.stderr)
            return path
    return None


def search_with_atheris(name: str, seconds: int) -> None:
    """Try inputs that reach new code for some seconds, by atheris (libFuzzer). Exits the process."""
    import atheris

    with atheris.instrument_imports(include=["client", "common", "server"]):
        target = targets.load(name)
    corpus = WORK / "corpus" / name
    for folder in (corpus, FAILURES):
        folder.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", suffix=".dict") as tokens:
        tokens.writelines(map(dictionary_entry, target.tokens))
        tokens.flush()
        options = {
            "max_total_time": seconds,
            "max_len": MAX_SIZE,
            "timeout": 20,  # seconds for one input
            "rss_limit_mb": 2048,
            "dict": tokens.name,
            "artifact_prefix": f"{FAILURES}/{name}-",
            "verbosity": 0,
            "print_final_stats": 1,
        }
        args = [sys.argv[0], *(f"-{option}={value}" for option, value in options.items())]
        # libFuzzer writes new inputs to the first folder.
        atheris.Setup([*args, str(corpus), str(targets.SEEDS / name)], target.check)
        atheris.Fuzz()


def dictionary_entry(token: bytes) -> str:
    r"""Return a line of libFuzzer's dictionary.

    >>> dictionary_entry(b"a\n")
    '"\\x61\\x0a"\n'
    """
    escaped = "".join(f"\\x{byte:02x}" for byte in token)
    return f'"{escaped}"\n'


def main() -> int:
    name, seconds, engine = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    if engine == ATHERIS or (engine == AUTO and find_spec("atheris")):
        search_with_atheris(name, seconds)
    return 1 if search(targets.load(name), seconds) else 0


if __name__ == "__main__":
    sys.exit(main())
