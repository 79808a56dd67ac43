"""Write kvline.pyz, one file that contains the server and the client: ``python packaging/archive.py FILE``."""

from __future__ import annotations

import sys
import zipapp
from pathlib import Path
from tempfile import TemporaryDirectory

from tree import write_tree

MAIN = """\
import sys

from kvline.__main__ import main

sys.exit(main())
"""


def write_archive(path: Path) -> None:
    """Write the file. It is executable, and the python3 on the PATH runs it."""
    with TemporaryDirectory() as folder:
        write_tree(Path(folder))
        (Path(folder) / "__main__.py").write_text(MAIN)
        zipapp.create_archive(folder, path, interpreter="/usr/bin/env python3", compressed=True)


if __name__ == "__main__":
    write_archive(Path(sys.argv[1]))
