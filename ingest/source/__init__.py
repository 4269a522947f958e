"""A folder as it stands: its files, its tables of metadata, and what is known of it while it is watched."""
