"""Tests of JSON frames, by a client of their own that is written from the README's table."""
