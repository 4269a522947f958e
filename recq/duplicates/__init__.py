"""Groups of items that are the same picture: found by their vectors, confirmed by their pixels."""
