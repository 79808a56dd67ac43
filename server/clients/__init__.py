"""Connections, what they are pushed, and what is counted: state that sessions share and that is not the keyspace."""
