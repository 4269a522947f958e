"""The index as the daemon uses it: waited for while it is away, and never stopped by one thing that it refuses."""
