"""A destination of the log that keeps its lines."""

from ...supervisor.logging.log import Record


class LogLines:
    """Keeps the lines that are logged."""

    method = "test"

    def __init__(self) -> None:
        self.texts: list[str] = []

    def put(self, record: Record) -> None:
        self.texts.append(record.text)

    def start(self) -> None: ...

    def flush(self, deadline: float) -> bool:
        return True

    def close(self, deadline: float) -> None: ...
