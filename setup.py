"""Build a wheel that installs the single package ``kvline``. pyproject.toml has everything but its modules."""

import shutil
import sys
from pathlib import Path

from setuptools import find_namespace_packages, setup

ROOT = Path(__file__).resolve().parent
BUILD = ROOT / "build"

sys.path.insert(0, str(ROOT / "packaging"))

from tree import write_tree  # noqa: E402

if {"develop", "editable_wheel"} & set(sys.argv):
    sys.exit("kvline has no editable installation, because its checkout runs without one: ./run_server.sh")

# setuptools would also install modules that an earlier build has left there.
shutil.rmtree(BUILD, ignore_errors=True)
write_tree(BUILD / "tree")
setup(
    package_dir={"": "build/tree"},
    packages=find_namespace_packages("build/tree"),
    package_data={"": ["*"]},
)
