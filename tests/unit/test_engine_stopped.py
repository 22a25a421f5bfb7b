"""What a worker is told of its engine's process: stopped, going on, ended."""

import os
import signal
from pathlib import Path

from ...worker.sandbox.confine import Confinement
from ...worker.session.engine import Engine


def test_stopped_goes_on_and_ended(tmp_path: Path) -> None:
    engine = Engine(Confinement(private=str(tmp_path)))
    engine.pid = os.fork()
    if engine.pid == 0:
        while True:
            signal.pause()
    engine.pidfd = os.pidfd_open(engine.pid)
    for number, told in ((signal.SIGSTOP, "SIGSTOP"), (signal.SIGCONT, "")):
        engine.signal(number)
        os.waitid(os.P_PID, engine.pid, os.WSTOPPED | os.WCONTINUED | os.WNOWAIT)
        assert engine.stopped() == told
        assert engine.stopped() is None
    engine.signal(signal.SIGKILL)
    os.waitid(os.P_PIDFD, engine.pidfd, os.WEXITED | os.WNOWAIT)
    assert engine.stopped() is None  # it has ended, and has not been collected
    assert engine.reap() is not None
    assert engine.stopped() is None
