"""Compile the modules of the hot path with mypyc, from the same sources.

    python packaging/compiled.py FOLDER     copy the checkout to a folder and compile its modules there, for tests

``KVLINE_COMPILE=1 pip install .`` (setup.py) compiles them in the package. A compiled module has the behaviour of its
source, with these differences: a native class has no subclasses that are not compiled, arguments of a wrong type raise
`TypeError`, and nothing can be replaced from outside, as some tests do.

The functions of commands are not compiled, because the registry reads their annotations at run time. ``common/text.py``
is not, because a loop that is compiled keeps the GIL: the text of one value of 100 MiB stopped all other threads.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]

MODULES = (
    "common/codec.py",
    "common/errors.py",
    "common/limits.py",
    "common/pieces.py",
    "common/replies.py",
    "common/resp.py",
    "common/resp_replies.py",
    "common/resp_requests.py",
    "server/args/integers.py",
    "server/clients/call_recorder.py",
    "server/clients/push.py",
    "server/clients/registry.py",
    "server/clients/stats.py",
    "server/engines/embedded.py",
    "server/engines/log/engine.py",
    "server/engines/memory_limit.py",
    "server/engines/time_slice.py",
    "server/keyspace/expiration.py",
    "server/keyspace/observers.py",
    "server/keyspace/store.py",
    "server/keyspace/watches.py",
    "server/net/committing.py",
    "server/net/connection.py",
    "server/net/nonblocking.py",
    "server/net/threads.py",
    "server/protocols/detection.py",
    "server/protocols/telnet.py",
    "server/protocols/text_lines.py",
    "server/registry/command.py",
    "server/session/context.py",
    "server/session/exec.py",
    "server/session/session.py",
    "server/session/stream.py",
    "server/session/transaction.py",
)

REQUIREMENT = "mypy[mypyc]>=2.4,<3"
"""What compiles them. It is needed for the build alone."""


def extensions(package: str = "") -> list[Any]:
    """Return the extension modules that setuptools builds. ``package`` is a folder in the current directory.

    Raises `ImportError` if mypyc is missing.
    """
    from mypyc.build import mypycify  # noqa: PLC0415  # a build of a wheel asks for the requirements first

    paths = [os.path.join(package, module) for module in MODULES]
    # Without a name, the library that the modules share would be installed outside of the package.
    library = "kvline.compiled" if package else "common.compiled"
    found: list[Any] = mypycify(["--config-file=", "--ignore-missing-imports", *paths], group_name=library)
    return found


def compile_checkout(folder: Path) -> None:
    """Copy the checkout to a folder and compile its modules there. What the folder contained before is deleted."""
    from setuptools import setup  # noqa: PLC0415  # as above

    shutil.rmtree(folder, ignore_errors=True)
    caches = shutil.ignore_patterns(".*_cache", ".git", ".hypothesis", ".venv*", "__pycache__", "build", "dist", "site")
    shutil.copytree(ROOT, folder, ignore=caches)
    # setuptools reads the configuration of the wheel, whose packages are not those of the checkout.
    project = (folder / "pyproject.toml").rename(folder / "project.toml")
    os.chdir(folder)
    setup(
        name="kvline",
        packages=[],
        ext_modules=extensions(),
        script_args=["--quiet", "build_ext", "--inplace", f"--parallel={os.cpu_count() or 1}"],
    )
    project.rename(folder / "pyproject.toml")


if __name__ == "__main__":
    compile_checkout(Path(sys.argv[1]).resolve())
