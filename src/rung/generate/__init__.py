"""Policies that continue a prefix."""
