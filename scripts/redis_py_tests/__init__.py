"""The test-suite of redis-py, run against kvline."""
