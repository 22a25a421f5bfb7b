"""The privileged parent: owns the bus names, keeps the sessions, applies the network settings."""
