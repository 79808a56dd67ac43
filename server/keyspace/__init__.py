"""The keyspace: keys, values, expiry, watches, SCAN. It knows no lock, no I/O and no commands."""
