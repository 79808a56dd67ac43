"""TCP: listeners, connections, and the schedulers that serve connections."""
