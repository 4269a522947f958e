"""recq: image similarity as a service. What the daemon (`ingest`) and the query tool (`query`) share."""

__version__ = "0.1.0"
