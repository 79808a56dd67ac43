"""Build a wheel that installs the single package ``kvline``. pyproject.toml has everything but its modules.

With ``KVLINE_COMPILE=1`` in the environment, the modules of the hot path are compiled. See packaging/compiled.py.
"""

import os
import shutil
import sys
from pathlib import Path

from setuptools import find_namespace_packages, setup

ROOT = Path(__file__).resolve().parent
BUILD = ROOT / "build"

sys.path.insert(0, str(ROOT / "packaging"))

from compiled import REQUIREMENT, extensions  # noqa: E402
from tree import PACKAGE, write_tree  # noqa: E402

if {"develop", "editable_wheel"} & set(sys.argv):
    sys.exit("kvline has no editable installation, because its checkout runs without one: ./run_server.sh")

# setuptools would also install modules that an earlier build has left there.
shutil.rmtree(BUILD, ignore_errors=True)
write_tree(BUILD / "tree")

compiled: dict[str, object] = {}
if os.environ.get("KVLINE_COMPILE") == "1":
    compiled["setup_requires"] = [REQUIREMENT]  # pip installs it before it asks for the wheel
    if "egg_info" not in sys.argv:
        compiled["ext_modules"] = extensions(f"build/tree/{PACKAGE}")

setup(
    package_dir={"": "build/tree"},
    packages=find_namespace_packages("build/tree"),
    package_data={"": ["*"]},
    **compiled,
)
