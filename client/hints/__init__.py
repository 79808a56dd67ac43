"""What the shell shows while a command is typed: hints and completions, derived from usage lines. Knows no terminal."""
