"""Who is connected, who monitors, and what is counted: state that sessions share and that is not the keyspace."""
