"""How a table looks: one file, one format."""
