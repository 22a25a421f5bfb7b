"""What a session sees of the machine, and how its processes are confined to that."""
