"""The numbers of the descriptors that the helper processes inherit (helpers.py says what they are told there)."""

SPAWNER_FD = 3
RESOLVER_FD = 4
SETUP_FD = 5  # a pipe with Setup
CGROUP_FD = 6  # the directory of the cgroup that sessions get theirs in, or /dev/null where there is none
NAMES_FD = 7  # the name setter's
