"""Pick among chains: best-of-N and votes."""
