"""``python -m client``. `run_client.sh` runs this file as a script, which Python compiles each time, so it is short."""

import sys

import common as _checks_version  # noqa: F401  # before modules that an old Python cannot import
from client.main import run

if __name__ == "__main__":
    sys.exit(run())
