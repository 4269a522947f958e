"""Folder against index: when they are compared, what differs, and what has only moved."""
