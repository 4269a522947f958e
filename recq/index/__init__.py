"""The index: what is stored about an image, how it is found again, and where.

`schema` names fields and their types, `filters` is the grammar of `--filter`, `catalog` holds every read and write,
`connect` decides which engine answers, `edge` is the embedded engine.
"""
