"""Bus services that the supervisor provides if no other program does: configuration, log, stand-ins."""
