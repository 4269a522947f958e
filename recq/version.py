"""The version of recq, apart from `recq` itself, which no module of it may import."""

VERSION = "0.1.0"
