"""What stands between this server and the Redis behind it."""
