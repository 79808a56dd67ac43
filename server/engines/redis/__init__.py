"""The engine in front of a backing Redis or Redis Cluster. Imported only if the settings have a backend."""
