"""The query tool: a target becomes a vector, a vector becomes results, results become something to look at."""
