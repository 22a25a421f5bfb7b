"""What confines the processes of the service: layers, capabilities, bounds, files, system calls."""
