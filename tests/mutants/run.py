"""`make mutants`: change the program in one place at a time, and see whether the tests notice.

    python -m openvpn3_sessionmgr.tests.mutants.run [--seed N] [--sample N] [--jobs N] [--files PATTERN…]

What was found is in .cache/mutants/results.txt.  Ends with status 1 if more than 5 of 100 survived, or one that
accepted.toml does not explain.
"""

import argparse
import fnmatch
import queue
import secrets
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from . import accepted
from .copies import Copy
from .coverage import CannotRecord, Coverage, Layout, record
from .sample import Candidate, draw
from .trial import Bounds, Result, attempt

PROJECT = Path(__file__).resolve().parents[2]
LAYOUT = Layout(
    PROJECT,
    package="src/openvpn3_sessionmgr/__init__.py",
    program=("policy", "kernel", "ipc", "supervisor", "worker"),
    unit="tests/unit",
    integration=("tests/contract", "tests/integration", "tests/hostile"),
    helpers=("tests/lab", "tests/support", "tests/hostile", "tests/integration", "tests/contract"),
)
FOUND = PROJECT / ".cache" / "mutants"
TARGETS = ("supervisor/workers/*", "supervisor/sessions/*", "worker/*")
_MOST_SURVIVE = 5  # of 100
_MOST_JOBS = 2
_TESTS_SHOWN = 8


def main() -> int:
    """Run what the command line asks for; the exit status."""
    parser = argparse.ArgumentParser(description="Change the program, and see whether the tests notice.")
    parser.add_argument("--seed", type=int, default=secrets.randbelow(1_000_000), help="of the sample (by chance)")
    parser.add_argument("--sample", type=int, default=200, help="number of mutants (%(default)s)")
    parser.add_argument("--jobs", type=int, default=1, choices=range(1, _MOST_JOBS + 1), help="at a time (%(default)s)")
    parser.add_argument("--files", nargs="*", default=[], help=f"patterns ({' '.join(TARGETS)})")
    parser.add_argument("--tests", type=int, default=Bounds().tests, help="integration tests of each (%(default)s)")
    parser.add_argument("--seconds", type=float, default=Bounds().seconds, help="for these (%(default)g)")
    parser.add_argument(
        "--integration", nargs="*", default=list(LAYOUT.integration), help="where they are (%(default)s)"
    )
    options = parser.parse_args()
    layout = LAYOUT._replace(integration=tuple(options.integration))
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))  # copies are removed
    patterns = options.files or TARGETS
    sources = layout.sources()
    chosen = {file: text for file, text in sources.items() if any(fnmatch.fnmatch(file, one) for one in patterns)}
    if not chosen:
        parser.error(f"no file matches {' '.join(patterns)}")
    candidates = draw(chosen, options.sample, options.seed)
    FOUND.mkdir(parents=True, exist_ok=True)
    with (FOUND / "results.txt").open("w") as file:

        def say(text: str) -> None:
            for stream in (sys.stdout, file):
                print(text, file=stream, flush=True)

        say(f"{len(candidates)} mutants of {len(chosen)} files, seed {options.seed}")
        try:
            coverage = record(layout, FOUND / "coverage.json", say)
        except CannotRecord as error:
            say(str(error))
            return 1
        if coverage.left_out:
            say(f"{len(coverage.left_out)} tests fail where statements are noted, and are not run:")
            for test in coverage.left_out:
                say(f"    {test}")
        bounds = Bounds(options.tests, options.seconds)
        results = list(run(layout, candidates, coverage, bounds, options.jobs, say))
        return report(results, accepted.read(), say)


def run(
    layout: Layout,
    candidates: Sequence[Candidate],
    coverage: Coverage,
    bounds: Bounds,
    jobs: int,
    say: Callable[[str], None],
) -> Iterator[Result]:
    """Try mutants, each in a copy that no other uses meanwhile; what became of them, as they are done."""
    with tempfile.TemporaryDirectory(prefix="mutants-") as directory:
        copies: queue.SimpleQueue[Copy] = queue.SimpleQueue()
        for number in range(jobs):
            copies.put(Copy(layout.tree, Path(directory) / f"tree{number}"))
        stopped = threading.Event()

        def one(candidate: Candidate) -> Result | None:
            if stopped.is_set():
                return None
            copy = copies.get()
            try:
                return attempt(copy, candidate, coverage, bounds)
            finally:
                copies.put(copy)

        with ThreadPoolExecutor(jobs) as pool:
            pending = [pool.submit(one, candidate) for candidate in candidates]
            try:
                for number, future in enumerate(as_completed(pending), 1):
                    result = future.result()
                    if result is not None:
                        say(f"{number}/{len(candidates)} {line(result)}")
                        yield result
            finally:
                stopped.set()


def line(result: Result) -> str:
    """A result in one line."""
    mutant = result.candidate.mutant
    how = f"killed by {result.killed_by}" if result.killed_by else "SURVIVED"
    doubted = f" (failed only once: {', '.join(result.doubted)})" if result.doubted else ""
    return f"{result.candidate.file}:{mutant.line} {mutant.operator}: {how}, {result.seconds:.1f} s{doubted}"


def report(results: Sequence[Result], reasons: list[accepted.Accepted], say: Callable[[str], None]) -> int:
    """Say what survived, and how many; the exit status."""
    survivors = [result for result in results if not result.killed_by]
    unexplained = 0
    for result in survivors:
        mutant = result.candidate.mutant
        reason = accepted.reason(result.candidate, reasons)
        unexplained += not reason
        say(f"\n{result.candidate.file}:{mutant.line} {mutant.operator}")
        say(f"    before: {mutant.before}")
        say(f"    after:  {mutant.after}")
        if reason:
            say(f"    accepted: {reason}")
        shown = "".join(f"\n        {test}" for test in result.tests[-_TESTS_SHOWN:])
        say(f"    tests: {len(result.tests)}{', the last of them:' if shown else ''}{shown}")
    count = len(results)
    of_100 = 100 * len(survivors) / count if count else 0.0
    say(f"\n{count} mutants, {count - len(survivors)} killed, {len(survivors)} survived ({of_100:.1f} per 100)")
    say(f"{unexplained} survivors have no reason in {accepted.LIST.relative_to(PROJECT)}")
    return 1 if unexplained or of_100 > _MOST_SURVIVE else 0


if __name__ == "__main__":
    sys.exit(main())
