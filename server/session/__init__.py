"""Sessions: the state of one connection (arguments in, reply out), and the stream of bytes around it."""
