"""The server of a session."""

import msgspec


class Server(msgspec.Struct, frozen=True):
    """The server that an engine is connected to."""

    proto: str = ""
    address: str = ""
    port: int = 0
    name: str = ""  # as the profile has it
