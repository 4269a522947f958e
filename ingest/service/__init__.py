"""The process around the daemon: how it starts and ends, what it reports of itself, and what is asked of it."""
