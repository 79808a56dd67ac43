"""The client program. It uses `common`, and the server's code only for ``--local``."""
