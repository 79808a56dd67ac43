"""The durable log: every change of the keyspace in files that are requests, with checksums."""
