"""The engine whose store is a backing Redis or Redis Cluster. Loaded only where the command line asks for it."""
