"""Labels to weights."""
