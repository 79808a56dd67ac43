"""Run the checks of one program in the virtual environment of the libraries: ``python run_program.py PROGRAM URL``.

Every function of the program whose name begins with ``check_`` is a check. It gets the URL of the server, and raises an
exception if the library does not work. A line of JSON per check is printed: its name, and its error or null.
"""

import asyncio
import importlib.util
import inspect
import json
import os
import sys


def main(path: str, url: str) -> None:
    spec = importlib.util.spec_from_file_location("program", path)
    program = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(program)
    for name, function in vars(program).items():
        if name.startswith("check_"):
            print(json.dumps([name.removeprefix("check_").replace("_", " "), error_of(function, url)]), flush=True)


def error_of(function, url: str) -> str | None:
    """Run a check. Return its error, with those that caused it, or None."""
    try:
        result = function(url)
        if inspect.iscoroutine(result):
            asyncio.run(asyncio.wait_for(result, 30))
    except BaseException as problem:
        return "; ".join(f"{type(each).__name__}: {each}" for each in causes(problem))
    return None


def causes(problem: BaseException | None):
    """Yield an exception and those that caused it."""
    while problem is not None:
        yield problem
        is_group = isinstance(problem, BaseExceptionGroup)
        problem = problem.exceptions[0] if is_group else problem.__cause__ or problem.__context__


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)  # libraries leave threads that wait for the server
