"""The command line of `recq`: each command calls the library once and prints the answer."""
