"""The HTTP API: the questions of `recq.face` under `/api/v1/`, and `recq serve`. docs/api.md has every route.

Nothing else of recq imports it but the command that starts it: FastAPI takes a third of a second to import.
"""
