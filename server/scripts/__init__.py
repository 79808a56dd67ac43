"""Lua scripts: EVAL and its variants, by the Lua 5.1 of lupa."""
