"""Learning from the catalogue's own labels: better spaces, and what can be said of them honestly."""
