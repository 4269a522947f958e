"""Hints that something changed, and the paths that wait to be looked at."""
