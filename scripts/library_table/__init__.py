"""The table of libraries in docs/libraries.md."""
