"""Jobs in a thread of their own."""

import asyncio
import gc
import threading
from typing import Any

from ...supervisor.network.serial_executor import SerialExecutor
from ..support.waiting import until


def test_a_job_that_fails_after_its_caller_was_cancelled_is_no_fault() -> None:
    faults: list[dict[str, Any]] = []
    go_on = threading.Event()

    def fail() -> None:
        go_on.wait()
        raise ValueError("refused")

    async def course() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: faults.append(context))
        executor = SerialExecutor("test")
        caller = asyncio.create_task(executor.run(fail))
        await asyncio.sleep(0)
        caller.cancel()
        await asyncio.wait([caller])
        assert caller.cancelled()
        go_on.set()
        after = asyncio.ensure_future(executor.run(lambda: None))
        await until(after.done)
        executor.stop()

    asyncio.run(course())
    gc.collect()
    assert faults == []
