"""Messages to and from the kernel by netlink(7): packed, parsed, sent and answered."""
