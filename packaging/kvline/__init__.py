"""A key-value server that people can use with telnet, and Redis clients with RESP.

``python -m kvline server`` and ``python -m kvline client`` start the programs. ``kvline.server.app.Server`` is a server
that a program starts and stops in process.
"""

from common import __version__ as __version__
