"""Databases that tell a gold query from its near-misses."""
