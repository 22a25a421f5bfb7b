"""What processes do to themselves by system calls: privileges, namespaces, mounts, seccomp, Landlock."""
