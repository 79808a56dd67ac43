"""Redis's serialisation of strings (RDB), as DUMP, RESTORE and MIGRATE exchange it between servers."""
