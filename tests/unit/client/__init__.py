"""Tests of the client's own modules, without a server."""
