"""The life of a session, as the supervisor keeps it."""
