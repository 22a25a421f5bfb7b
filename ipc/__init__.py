"""The messages between the processes, and the sockets that carry them.  Imports only `policy`."""
