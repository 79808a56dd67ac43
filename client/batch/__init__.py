"""Batches: lines from a pipe or a file that are sent without waiting for replies."""
