"""What a session will make of a profile, said before there is one: pure, so that ovpnctl can ask it of a file.

The verdict is that of the compiler: a profile has refusals if, and only if, compiling it raises ProfileRefused, whose
text is among them.  Of PKCS#11 only the service knows which providers there are, and of certificates only the engine
knows whether it can use them: what they would refuse is not among the refusals.
"""

import msgspec

from ...policy import device_names
from ...policy.profile.options import OPTIONS, REFUSED
from ...policy.profile.pkcs11 import OPTION as PROVIDERS
from ...policy.profile.syntax import Option, ProfileTextError
from .compiler import Compiler
from .reading import read_options
from .values import ProfileRefused, shown


class Remark(msgspec.Struct, frozen=True):
    """Something about a profile, or about one line of it."""

    reason: str
    option: str = ""  # that it is about; "": the whole profile, or text that is no option
    line: int = 0  # of the profile, from 1; 0: the whole profile


class Ignored(msgspec.Struct, frozen=True):
    """Something in a profile that its sessions leave out, or take as something else."""

    option: str  # its name, with its value where that is what matters
    lines: tuple[int, ...]  # where it stands, from 1
    reason: str


class Verdict(msgspec.Struct, frozen=True):
    """What a session will make of a profile."""

    refused: tuple[Remark, ...]  # why no session can be started with it; empty if one can
    ignored: tuple[Ignored, ...] = ()
    asks: tuple[str, ...] = ()  # what the user has to type at the start
    warnings: tuple[Remark, ...] = ()


def verdict(profile: bytes | str) -> Verdict:
    """What a session will make of `profile`, with all reasons.  Does not raise."""
    try:
        options, trouble = read_options(profile)
    except ProfileTextError as error:
        return Verdict((_of_text(error),))
    except ProfileRefused as error:
        return Verdict((_of_option(error),))
    whole = (Remark(trouble),) if trouble else ()
    if trouble and not any(option.name in OPTIONS for option in options):
        return Verdict(whole)  # all there is to it is that it is no profile
    try:
        judge = _Judge(options)
    except ProfileTextError as error:
        return Verdict((*whole, _of_text(error)))
    except ProfileRefused as error:
        return Verdict((*whole, _of_option(error)))
    return judge.verdict(whole)


class _Judge(Compiler):
    """A compiler that goes on after an option that it refuses."""

    def __init__(self, options: list[Option]) -> None:
        self.refused: list[Remark] = []
        self.warnings: list[Remark] = []
        super().__init__(options, None)

    def option(self, option: Option) -> None:
        scope, before = self.scope, len(self.refused)
        try:
            super().option(option)
        except ProfileTextError as error:
            self.refused.append(_of_text(error))
        except ProfileRefused as error:
            # What is missing from a <connection> may be just what was refused in it.
            if len(self.refused) == before:
                self.refused.append(_of_option(error))
        self.scope = scope
        if option.name == PROVIDERS:
            self.warnings.append(Remark("only the service knows which providers there are", PROVIDERS, option.line))
        named = option.params[:1] if option.name == "dev" and len(self.refused) == before else ()
        if any(device_names.refusal(name, device_names.DEFAULT) for name in named):
            reason = f"the device is tun0, tun1 or so, unless the administrator allows the name {shown(named[0])}"
            self.warnings.append(Remark(reason, "dev", option.line))

    def verdict(self, whole: tuple[Remark, ...]) -> Verdict:
        """The verdict, with `whole` as what is wrong with the whole profile."""
        refused = [*whole, *self.refused]
        if whole:  # may be so because of what an option says that is refused in any case
            refused.sort(key=lambda one: one.option not in REFUSED)
        asks: tuple[str, ...] = ()
        try:
            asks = tuple(sorted(need.value for need in self.compiled().needs))
        except ProfileTextError as error:
            refused.append(_of_text(error))
        except ProfileRefused as error:
            # What is missing from the whole profile may be just what was refused.
            if error.option or not refused:
                refused.append(_of_option(error))
        ignored = tuple(Ignored(what, tuple(lines), why) for what, (why, lines) in self.dropped.items())
        return Verdict(tuple(refused), ignored, asks, tuple(self.warnings))


def _of_text(error: ProfileTextError) -> Remark:
    return Remark(error.problem, line=error.line)


def _of_option(error: ProfileRefused) -> Remark:
    option = error.option or Option("")
    return Remark(error.reason, option.name, option.line)
