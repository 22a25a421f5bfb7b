"""Hostile input, made by the million: what the unit tests try in small numbers, and `make fuzz` in large ones."""
