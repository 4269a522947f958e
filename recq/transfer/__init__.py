"""A whole catalog out of an index into a file, and out of a file into an index."""
