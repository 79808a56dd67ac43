"""Black-box tests of a server whose store is a backing Redis or Redis Cluster."""
