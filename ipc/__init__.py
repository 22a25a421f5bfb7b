"""What the processes say to each other.  Imports only `policy`."""
