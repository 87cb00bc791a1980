"""The stations in a row: the whole loop as one function."""
