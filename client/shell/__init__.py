"""The prompt: read a command, run it, show its reply."""
