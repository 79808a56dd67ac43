"""Tools that look at a whole keyspace or at the server: ``--scan``, ``--bigkeys``, ``--stat`` and so on."""
