"""Virtual environments for programs of others that are run against kvline. They are kept and ignored by git."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PIP = ("-m", "pip", "--quiet", "--disable-pip-version-check")


def scratch_venv(name: str, requirements: Path) -> Path:
    """Return the Python of the virtual environment ``.venv-NAME``, which has what a requirements file lists.

    It is made on first use, and again if the requirements or the version of Python change. Raises
    `subprocess.CalledProcessError` if pip cannot install them.
    """
    folder = ROOT / f".venv-{name}"
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    stamp = folder / ".installed"
    wanted = hashlib.sha256(requirements.read_bytes() + sys.version.encode()).hexdigest()
    if not stamp.exists() or stamp.read_text() != wanted:
        subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
        subprocess.run([python, *PIP, "install", "--requirement", requirements], check=True)
        stamp.write_text(wanted)
    return python
