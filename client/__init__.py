"""The kvline client: a program of its own, which needs nothing of the server's code."""
