"""Name servers of sessions, set on this machine."""
