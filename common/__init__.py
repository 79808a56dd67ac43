"""What the server and the client share: reply values, errors, limits, and the codecs of text and RESP."""

import sys

__version__ = "0.2.0"

REDIS_VERSION = "7.0.15"
"""The version of Redis whose commands, replies and errors kvline has. Clients decide by it which commands they use."""

# Nothing else checks this for `python -m server` in a checkout. For a wheel pip does. Python 2 can read this module.
if sys.version_info < (3, 11):  # noqa: UP036
    version = ".".join(map(str, sys.version_info[:3]))
    sys.exit("kvline needs Python 3.11 or later; this is " + version + " at " + sys.executable)
