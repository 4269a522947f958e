"""The command line of `recq`: each command is one call of the library, and what is printed of its answer."""
