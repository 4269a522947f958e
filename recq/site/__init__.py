"""A catalog as a folder that any browser opens: pictures, metadata, vectors and a page, without a server."""
