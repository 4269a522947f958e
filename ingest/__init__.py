"""The daemon: watch -> stability -> pending -> decode -> embed -> commit, and the reconcile that makes it true."""
