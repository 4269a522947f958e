"""How good answers are: measures of retrieval from the catalog's own labels."""
