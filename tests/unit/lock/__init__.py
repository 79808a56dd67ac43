"""Tests of what runs under the keyspace lock, with a lock that reports how it is used."""
