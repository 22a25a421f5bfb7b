"""`make fuzz`: the fuzz targets under atheris, which looks for new paths through the code, then frames by the million.

    python -m openvpn3_sessionmgr.tests.fuzz.run [--seconds N] [--frames N] [TARGET…]

Each target runs in a process of its own.  A finding is written to .cache/fuzz/TARGET; kept in tests/fuzz/kept/TARGET,
it is tried by the unit tests from then on.  Ends with status 1 if there was one.
"""

import argparse
import asyncio
import subprocess
import sys
import time
from pathlib import Path

from ...ipc.codec import encode
from ...policy.profile.options import OPTIONS
from ..support.bare import REQUEST_NUMBER
from ..support.calls import INTERFACES
from ..support.frames import FrameMaker, examples
from .client import some_messages
from .dispatch import SENDERS
from .targets import STATES, TARGETS, count_frames

KEPT = Path(__file__).with_name("kept")
FOUND = Path(__file__).resolve().parents[2] / ".cache" / "fuzz"
_LONGEST = 4096  # bytes of an input
_SOME_INPUTS = 1000  # to begin with
_EVENTS = (
    *(">HOLD:", ">STATE:1,", ">LOG:1,", ">BYTECOUNT:", ">UPDOWN:UP", ">UPDOWN:ENV,", ">PASSWORD:", ">FATAL:"),
    *(">INFOMSG:", ">NEED-OK:", "SUCCESS:", "ERROR:", "Need 'Auth' username/password", "SC:1,", "CRV1:R,E:", "ENV,END"),
    *("Verification Failed: 'Auth'", "CONNECTED,SUCCESS", "RECONNECTING,", "WEB_AUTH:", "CR_TEXT:", "OPEN_URL:"),
    *(
        "ifconfig_local=",
        "PUSH: Received control message: 'PUSH_REPLY,route",
        "foreign_option_1=",
        "tun_mtu=",
        "trusted_ip=",
        "load-stats",
    ),
)
_MEMBERS = [
    *(row.name for one in INTERFACES for row in one.methods),
    *(row.name for one in INTERFACES for row in one.properties),
]


def main() -> int:
    """Run what the command line asks for; the exit status."""
    parser = argparse.ArgumentParser(description="Fuzz what reads hostile input.")
    parser.add_argument("target", nargs="*", help=f"which: {', '.join(TARGETS)} (all)")
    parser.add_argument("--seconds", type=int, default=120, help="time for each target (%(default)s)")
    parser.add_argument("--frames", type=int, default=10_000_000, help="frames of a hostile worker (%(default)s)")
    options = parser.parse_args()
    if unknown := set(options.target) - set(TARGETS):
        parser.error(f"no such target: {', '.join(sorted(unknown))}")
    failed = [name for name in options.target or TARGETS if not _fuzz(name, options.seconds)]
    _frames(options.frames)
    if failed:
        print(f"Findings in {', '.join(failed)}: see {FOUND}")
    return 1 if failed else 0


def _fuzz(name: str, seconds: int) -> bool:
    """Fuzz one target, beginning with what was found interesting before; whether there was no finding."""
    print(f"{name}: {seconds} s", flush=True)
    corpus, found, words = FOUND / "corpus" / name, FOUND / name, FOUND / f"{name}.words"
    for directory in (corpus, found):
        directory.mkdir(parents=True, exist_ok=True)
    dictionary = {"management": _EVENTS, "bus": _MEMBERS}.get(name, OPTIONS)
    words.write_text("".join(f'"{word}"\n' for word in dictionary))
    if name == "ipc":
        for number, message in enumerate(examples(REQUEST_NUMBER)):
            for state in range(len(STATES)):
                (corpus / f"{number}-{state}").write_bytes(bytes([state]) + encode(message))
    if name == "bus":
        for seed in range(_SOME_INPUTS):
            sent = some_messages(seed, 1 + seed % 8)
            (corpus / f"messages-{seed}").write_bytes(bytes([seed % len(SENDERS), seed // 8 % 256]) + sent)
    kept = [str(KEPT / name)] if (KEPT / name).is_dir() else []
    command = [
        sys.executable, "-m", __package__ + ".guided", name, str(corpus), *kept,
        f"-max_total_time={seconds}", f"-max_len={_LONGEST}", "-timeout=10", f"-artifact_prefix={found}/",
        f"-dict={words}", "-print_final_stats=1", "-verbosity=1",
    ]  # fmt: skip
    return subprocess.run(command, check=False).returncode == 0


def _frames(count: int) -> None:
    print(f"{count:,} frames of a hostile worker", flush=True)
    maker = FrameMaker(time.time_ns(), REQUEST_NUMBER)
    began = time.monotonic()
    outcomes = asyncio.run(count_frames(maker.frame() for _ in range(count)))
    print(f"in {time.monotonic() - began:.0f} s: {outcomes}")


if __name__ == "__main__":
    sys.exit(main())
