"""The road of a file: examined, decoded, embedded, written."""
