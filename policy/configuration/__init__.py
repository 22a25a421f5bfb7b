"""What the administrator chooses: one table of options, for the command line and for files."""
