"""Parsing of arguments: integers, options, expiry times, glob patterns."""
