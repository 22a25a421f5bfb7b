"""The service's main process: owns the bus names, keeps the sessions, applies their network settings."""
