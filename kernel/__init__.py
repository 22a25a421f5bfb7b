"""System calls by which processes restrict themselves: privileges, namespaces, mounts, seccomp, Landlock."""
