"""The runs of one session: one after the other, from the same launch specification."""

from .context import SessionContext
from .launch_spec import LaunchSpec
from .run import Run, RunOwner


class Runs:
    """The present run, and what is left of the one before."""

    def __init__(self, owner: RunOwner, context: SessionContext) -> None:
        self.spec: LaunchSpec | None = None  # set before the first one begins; closed after the last
        self.present: Run | None = None  # in use, or failed; none between two
        self.end_with_others = False  # see Run.end
        self._latest: Run | None = None
        self._owner = owner
        self._context = context

    def begin(self) -> None:
        """Begin one; it waits until nothing is left of the one before."""
        assert self.spec is not None
        before = self._latest.ended if self._latest is not None else None
        self.present = self._latest = Run(self._owner, self.spec, self._context, after=before)

    def take_over(self) -> Run:
        """One that has a worker already, which an earlier instance has started."""
        self.present = self._latest = Run(self._owner, None, self._context)
        return self.present

    def drop(self) -> None:
        """Begin to end the present one, whose worker is not waited for; another may follow."""
        assert self.present is not None
        self.present.end(goodbye=False)
        self.present = None

    def end(self) -> None:
        """Begin to end the last one; its worker may say goodbye."""
        if self._latest is not None:
            self._latest.end(goodbye=True, with_others=self.end_with_others)

    async def ended(self) -> None:
        """Wait until nothing is left of the last one, which no other follows."""
        if self._latest is not None:
            await self._latest.ended.wait()
        if self.spec is not None:
            self.spec.close()

    async def network_cleared(self) -> None:
        """Wait until the network settings of the last one are undone."""
        if self._latest is not None:
            await self._latest.network_cleared.wait()
