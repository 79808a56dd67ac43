"""Tests with many clients at once."""
