"""The query tool `recq`: its command line, and its answers as text and as pictures."""
