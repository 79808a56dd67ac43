"""How this process was started: the program's name in usage lines, and advice that can be typed as it is printed.

kvline runs from a checkout (``./run_server.sh``, ``python -m server``), from an installed wheel (``kvline-server``,
``python -m kvline server``) and from a zipapp (``kvline.pyz server``). A wheel and a zipapp carry this module as
``kvline.common.program``.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False  # not from `typing`, as in `common.replies`
if TYPE_CHECKING:
    from typing import Literal, TypeAlias

    Role: TypeAlias = Literal["server", "client"]

_IS_CHECKOUT = not __name__.startswith("kvline.")
_ROOT = os.path.abspath(__file__).rsplit(os.sep, __name__.count(".") + 1)[0]
"""What contains the top-level package: the folder of the checkout, site-packages, or the file of a zipapp."""


def program_name(role: Role) -> str:
    """Return the name of this program, for its usage line and its errors."""
    if _IS_CHECKOUT:
        return _start_script() or f"{_python()} -m {role}"
    if os.path.isfile(_ROOT):
        return f"{os.path.basename(_ROOT)} {role}"
    return _console_script() or f"{_python()} -m kvline {role}"


def start_command(role: Role) -> str:
    """Return what to type to start the server or the client in the way in which this process was started."""
    if _IS_CHECKOUT:
        return _quoted(os.path.join(_checkout(), f"run_{role}.sh")) if _start_script() else f"{_python()} -m {role}"
    if os.path.isfile(_ROOT):
        return f"{_python()} {_quoted(sys.argv[0])} {role}"
    return f"kvline-{role}" if _console_script() else f"{_python()} -m kvline {role}"


def install_command(extra: str) -> str:
    """Return what to type to install an extra where this process finds it.

    A Python that its operating system manages (PEP 668) refuses ``pip install``. There the advice is a virtual
    environment, which the start scripts of a checkout use by themselves, or pipx.
    """
    requirement = f'"{_checkout() if _IS_CHECKOUT else "kvline"}[{extra}]"'
    if os.path.exists(os.path.join(sys.prefix, "pipx_metadata.json")):
        return f"pipx runpip kvline install {requirement}"
    if os.path.exists(os.path.join(sys.prefix, "uv-receipt.toml")):
        return f"uv tool install {requirement}"
    python = _quoted(sys.executable)
    if not _is_externally_managed():
        return f"{python} -m pip install {requirement}"
    if _IS_CHECKOUT:
        venv = os.path.join(_checkout(), ".venv")
        own_python = _quoted(os.path.join(venv, "bin", "python"))
        return f"{python} -m venv {_quoted(venv)} && {own_python} -m pip install {requirement}"
    return f"pipx install {requirement}"


def _start_script() -> str | None:
    """Return the name of the script of a checkout that started this process."""
    return os.environ.get("KVLINE_PROGRAM")


def _console_script() -> str | None:
    """Return the name of the console script of a wheel that started this process."""
    name = os.path.basename(sys.argv[0]).removesuffix(".exe")
    return name if name.startswith("kvline-") else None


def _python() -> str:
    return os.path.basename(sys.executable).removesuffix(".exe") or "python3"


def _checkout() -> str:
    """Return the path of the checkout, short if it is the current folder."""
    return "." if os.getcwd() == _ROOT else _ROOT


def _quoted(path: str) -> str:
    """Quote a path as every shell, cmd.exe included, understands it."""
    return f'"{path}"' if " " in path else path


def _is_externally_managed() -> bool:
    in_virtual_environment = sys.prefix != sys.base_prefix
    # PEP 668: the marker is beside the standard library. sysconfig knows the folder too, but takes 0.6 ms to import.
    marker = os.path.join(os.path.dirname(os.__file__), "EXTERNALLY-MANAGED")
    return not in_virtual_environment and os.path.exists(marker)
