"""Measurements through the product's own programs: each file is a script."""
