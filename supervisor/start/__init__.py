"""The privileged part of the start: from the command line to a process with few privileges."""
