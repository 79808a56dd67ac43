"""Tools that look at a whole keyspace or at the server: ``--scan``, ``--bigkeys``, ``--stat``, ``--top`` and so on."""


class ToolFailed(Exception):
    """Raised if a tool cannot do its work. The text is shown to the user."""
