"""The kill switch: this machine is locked while a session wants it (docs/NETWORK.md)."""
