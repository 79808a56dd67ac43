"""What the server and the client share: reply values, limits, and the two dialects that both ends speak."""

__version__ = "0.1.0"
