"""The public Python API: `recq.open` and the answers of a catalog. The package `recq` exports it.

It is the top floor of `recq`: no other room imports it. docs/python.md lists what is public.
"""
