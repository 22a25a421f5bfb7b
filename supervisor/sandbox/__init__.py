"""The sandbox of sessions on this machine: which layers are available, and what they need."""
