"""Measures the quality of answers by the catalog's own labels."""
