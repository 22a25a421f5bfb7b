"""How far the engine of a session is."""

from enum import StrEnum


class Phase(StrEnum):
    """How far the engine is."""

    NEW = "new"  # no profile yet
    STARTING = "starting"  # the engine reads the profile
    HELD = "held"  # it waits for Connect
    WAITING = "waiting"  # it needs something from its user
    RUNNING = "running"  # it connects, is connected, or reconnects
    PAUSING = "pausing"  # asked to stop traffic
    PAUSED = "paused"
    STOPPING = "stopping"  # it is ending, or has ended: nothing else happens any more
