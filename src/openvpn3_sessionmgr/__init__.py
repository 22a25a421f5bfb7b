"""A session manager for OpenVPN 3 Linux: a supervisor, and one sandboxed worker process per VPN session."""
