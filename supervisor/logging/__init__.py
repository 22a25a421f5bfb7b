"""The log: lines, levels and destinations."""
