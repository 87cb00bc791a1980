"""Where problems and labeled chains come from and go to: one file a format."""
