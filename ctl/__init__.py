"""`ovpnctl`, the command line."""
