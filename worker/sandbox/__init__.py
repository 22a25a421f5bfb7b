"""The sandbox of a session: the files that it sees, and the confinement of its processes."""
