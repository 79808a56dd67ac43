"""What the server and the client share: reply values, errors, limits, and the codecs of text and RESP."""

__version__ = "0.1.0"
