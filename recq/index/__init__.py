"""The index: what is stored about an image, how it is found, and in which engine.

`schema` names fields and their types, `grammar` and `filters` read `--filter`, `catalog` has the parts that read and
write, `connect` decides which engine answers, `edge` is the embedded engine.
"""
