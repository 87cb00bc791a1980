"""The HTTP API, and the host of the pages."""
