"""Tests of the engine in front of a backing Redis or Redis Cluster."""
