"""Standing queries: rules that new pictures are held against, and what is done where one matches."""
