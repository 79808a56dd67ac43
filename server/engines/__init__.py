"""Engines execute commands on a keyspace: in this process, or on a backing Redis."""
