"""A question to the index becomes an answer: targets, vectors, filters, results, and why there are none."""
