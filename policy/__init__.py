"""Who may do what: pure data and pure functions, without I/O.  Imports nothing of this project."""
