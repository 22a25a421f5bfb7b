"""One fuzz target under atheris: `python -m openvpn3_sessionmgr.tests.fuzz.guided TARGET ARGUMENTS-OF-LIBFUZZER…`.

Ends the process: status 0 if the time is over, another after a finding.
"""

import sys

import atheris

_INSTRUMENTED = [f"openvpn3_sessionmgr.{package}" for package in ("policy", "ipc", "worker", "supervisor")]

with atheris.instrument_imports(include=_INSTRUMENTED, enable_loader_override=False):
    from .targets import TARGETS

if __name__ == "__main__":
    atheris.Setup([sys.argv[0], *sys.argv[2:]], TARGETS[sys.argv[1]])
    atheris.Fuzz()
