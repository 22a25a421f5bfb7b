"""No option of a profile makes the engine touch a file: each is given one, and the real engine is watched."""

import ctypes
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from ...policy.profile.options import ALLOWED, IGNORED, OPTIONS
from ...worker.profile.blocks import LABELS
from ...worker.profile.compiler import compile_profile
from ...worker.profile.values import ProfileRefused

FINGERPRINT = ":".join(["00"] * 32)
BASE = f"""client
dev tun
remote 192.0.2.1 1 tcp-client
<peer-fingerprint>
{FINGERPRINT}
</peer-fingerprint>
<auth-user-pass>
alice
password
</auth-user-pass>
"""
# It reads all that it is given, makes its keys, and ends at the address that is not its own: it sends nothing.
ENDING = "dev null\nscript-security 2\nverb 0\nlocal 192.0.2.1\nbind\n"

# inotify(7): opened, for whatever purpose, executing included; written to; removed.
_IN_OPEN, _IN_MODIFY, _IN_DELETE_SELF = 0x20, 0x2, 0x400


class Watched:
    """A file that notices when it is touched."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.write_text("#!/bin/sh\nexit 0\n")
        path.chmod(0o755)
        libc = ctypes.CDLL(None, use_errno=True)
        self._descriptor: int = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        events = _IN_OPEN | _IN_MODIFY | _IN_DELETE_SELF
        if self._descriptor < 0 or libc.inotify_add_watch(self._descriptor, os.fsencode(path), events) < 0:
            raise OSError(ctypes.get_errno(), "inotify")

    def touched(self) -> bool:
        """Whether it was, since this was asked last."""
        try:
            return bool(os.read(self._descriptor, 4096))
        except BlockingIOError:
            return False

    def close(self) -> None:
        os.close(self._descriptor)


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Watched]:
    made = Watched(tmp_path / "watched")
    yield made
    made.close()


def run_engine(directory: Path, config: str) -> None:
    """Run the engine with a configuration until it ends by itself."""
    profile = directory / "profile"
    profile.write_text(ENDING + config.replace("dev tun\n", ""))
    command = ["openvpn", "--config", str(profile)]
    subprocess.run(command, cwd=directory, capture_output=True, timeout=10, check=False)


@pytest.mark.parametrize(
    "line",
    [
        *("ca {}", "config {}", "plugin {}", "auth-user-pass {}", "crl-verify {}", "tls-crypt {}", "pkcs12 {}"),
        *("log-append {}", "status {}", "writepid {}", "askpass {}"),
        "http-proxy 192.0.2.1 1 {} basic",
    ],
)
def test_the_watching_works(line: str, watched: Watched, tmp_path: Path) -> None:
    """The engine touches the file where it gets such a line uncompiled."""
    run_engine(tmp_path, BASE + line.format(watched.path) + "\n")
    assert watched.touched()


# Lines beside those made of the name and a file, for options whose other values are checked before they are handed on.
MORE = {
    "http-proxy": ("http-proxy 192.0.2.1 1 stdin {}", "http-proxy 192.0.2.1 1 {}"),
    "http-proxy-option": ("http-proxy 192.0.2.1 1\nhttp-proxy-option AGENT {}",),
    "http-proxy-user-pass": ("http-proxy 192.0.2.1 1\n<http-proxy-user-pass>\n{0}\n{0}\n</http-proxy-user-pass>",),
    "setenv": ("setenv UV_FILE {}",),
    "socks-proxy": ("socks-proxy 192.0.2.1 1 {}",),
}
CHECKED = {"connection", "http-proxy", "port", "proto", "proto-force", "providers", "remote", "rport", "socks-proxy"}


def lines_with(name: str, file: str) -> list[str]:
    """The option with the file in each place of its parameters, in all of them, and in a block."""
    rule = ALLOWED.get(name)
    least, most = (max(rule.least, 1), min(rule.most, 4)) if rule else (1, 3)
    parameters = [
        [*["1"] * place, file, *["1"] * (count - place - 1)] for count in {least, most} for place in range(count)
    ]
    parameters += [[file] * count for count in range(2, most + 1)]
    lines = [" ".join([name, *one]) for one in parameters if rule is None or rule.most]
    lines.append(f"<{name}>\n{file}\n{file}\n</{name}>")
    for label in LABELS.get(name, ()):
        lines.append(f"<{name}>\n{file}\n-----BEGIN {label}-----\n{file}\n-----END {label}-----\n</{name}>")
    if rule is None or rule.in_connection:
        lines += [f"<connection>\nremote 192.0.2.1\n{line}\n</connection>" for line in lines]
    return lines + [line.format(file) for line in MORE.get(name, ())]


@pytest.mark.parametrize("name", sorted(OPTIONS))
def test_an_option_that_is_given_a_file_does_not_touch_it(name: str, watched: Watched, tmp_path: Path) -> None:
    tried = 0
    for line in lines_with(name, str(watched.path)):
        try:
            config = compile_profile(BASE + line).config
        except ProfileRefused:
            continue
        if str(watched.path) in config:
            tried += 1
            run_engine(tmp_path, config)
            assert not watched.touched(), line
    takes_text = name in ALLOWED and ALLOWED[name].most > 0 and name not in CHECKED
    assert bool(tried) == takes_text


@pytest.mark.parametrize("name", sorted(IGNORED))
def test_what_is_ignored_is_left_out_and_warned_about(name: str) -> None:
    compiled = compile_profile(f"{BASE}{name} a b")
    assert compiled.config == compile_profile(BASE).config
    assert compiled.warnings == (f"{name} (line 11) is ignored: {IGNORED[name].reason}",)
