"""The privileged part of a start: from the command line to a process that has no more than it needs."""
