"""What a process that is forked often prepares, so that those forked from it write to few of its pages."""
