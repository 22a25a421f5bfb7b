"""Devices, addresses and routes, applied on behalf of sessions and undone after them."""
