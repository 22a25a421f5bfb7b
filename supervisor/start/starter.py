"""Who has started this process: only they start the next instance when it ends by itself."""

import os


def by_systemd() -> bool:
    """Whether it is the main process of a unit (systemd.exec(5), SYSTEMD_EXEC_PID)."""
    return os.environ.get("SYSTEMD_EXEC_PID") == str(os.getpid())


def by_bus() -> bool:
    """Whether the bus has started it for a call, without systemd."""
    return "DBUS_STARTER_BUS_TYPE" in os.environ and not by_systemd()
