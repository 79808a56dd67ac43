"""The kvline server: sockets, sessions, commands and the store."""
