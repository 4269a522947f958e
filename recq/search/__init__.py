"""From a question to an answer: targets, vectors, filters, results, and the reasons for an empty answer."""
