"""Bus services beside the sessions that the supervisor provides where nobody else does."""
