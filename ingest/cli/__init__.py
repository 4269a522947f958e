"""The command line of `recq-ingest`."""
