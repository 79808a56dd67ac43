"""Tests with the clients that people use: redis-py, blocking and asyncio, and ioredis.

redis-py's ``Lock`` is out of scope: it needs Lua to let go of the lock.
"""
