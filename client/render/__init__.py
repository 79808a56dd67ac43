"""How replies are printed: in a form for programs (`forms`), or for a person at a terminal (`pretty`)."""
