"""The machine's default route, as sessions have it: by rules on user ids (docs/NETWORK.md)."""
