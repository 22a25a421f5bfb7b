"""What each kind of process keeps of root's power, one row each with its reason (capabilities(7))."""

# Capability names as python-prctl spells them.
SUPERVISOR_CAPABILITIES = {
    "net_admin": "tun devices, addresses, routes",
    "kill": "signals to workers and engines, which have user ids of their own",
}

SPAWNER_CAPABILITIES = {
    "sys_admin": "namespaces and the private tmpfs of each worker",
    "setuid": "becoming the session's user",
    "setgid": "becoming the session's group, giving up supplementary groups",
    "setpcap": "emptying the worker's bounding set",
}

# What root must have for the service to start: the two sets above, and what building them takes.
START_CAPABILITIES = {
    **SUPERVISOR_CAPABILITIES,
    **SPAWNER_CAPABILITIES,
    "chown": "giving the runtime and state directories to the service's account",
    "dac_override": "directories and log files of other owners",
    "fowner": "the modes of those directories",
}

# setrlimit(2) of workers and their engines: RLIMIT_ name, bound, reason.
WORKER_RLIMITS = (
    ("CORE", 0, "a core file would hold keys"),
    ("NOFILE", 64, "a handful of sockets, the device, the profile"),
    ("NPROC", 16, "the worker and its engine; counts all processes of the session's user id"),
    ("FSIZE", 8 * 1024 * 1024, "the profile is the largest file it writes"),
    ("MEMLOCK", 0, "nothing is locked; mlock is not allowed in profiles"),
    ("MSGQUEUE", 0, "no message queues"),
)

HELPER_RLIMITS = (("CORE", 0, "memory of a helper tells about the sessions"),)
