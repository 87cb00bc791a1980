"""Weights to step scores."""
