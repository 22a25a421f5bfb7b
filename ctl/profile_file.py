"""Reading a profile from a file, and embedding the files that it names.

The services never read a user's files, so a profile must be complete when it is imported.
"""

import base64
import sys
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from msgspec.structs import replace

from ..policy.limits import MAX_PROFILE
from ..policy.pieces import whole
from ..policy.profile.credentials import ASKED, INLINE, blocks_of_credentials, credentials_file, without_credentials
from ..policy.profile.embedded import mark
from ..policy.profile.options import OPTIONS, Embed
from ..policy.profile.syntax import Option, ProfileTextError, decode, render, tokenize, words_of
from ..worker.profile.verdict import Remark, Verdict, verdict
from .exits import CommandError, CommandExit
from .named_files import NamedFile, Unusable

CREDENTIALS = tuple(ASKED)  # the blocks of user names and passwords
_PARAMS = {"tls-auth": (1, 2)}  # of options that name a file; any other has one
_NO_FILE = [(inline,) for inline in INLINE]
_SECRET = {"key", "pkcs12", "tls-auth", "tls-crypt", "tls-crypt-v2", *ASKED}


@dataclass(frozen=True)
class ProfileFile:
    """A profile as it is imported: its lines have the numbers that they have in the user's file."""

    text: str
    refused: tuple[Remark, ...] = ()  # files that it needs and that cannot be embedded
    warnings: tuple[Remark, ...] = ()
    stored: tuple[Remark, ...] = ()  # user names and passwords in it

    @property
    def importable(self) -> bool:
        """Whether the configuration service takes it, if need be with --force: its text can be read as options."""
        try:
            tokenize(self.text)
        except ProfileTextError:
            return False
        return all(one.line for one in self.refused)

    def verdict(self) -> Verdict:
        """What a session would make of it."""
        warnings = (*self.stored, *self.warnings)
        if any(not one.line for one in self.refused):  # it is too large
            return Verdict(self.refused, warnings=warnings)
        found = verdict(self.text)
        told = {(one.option, one.line) for one in self.refused}
        refused = [*(one for one in found.refused if (one.option, one.line) not in told), *self.refused]
        if all(one.line for one in refused):
            refused.sort(key=lambda one: one.line)
        return replace(found, refused=tuple(refused), warnings=(*warnings, *found.warnings))


def read_profile(file: str, *, ask: Collection[str] = ()) -> ProfileFile:
    """The profile in a file, "-" for standard input, with the files it names embedded.

    `ask` names blocks of user name and password that are left out.  Raises CommandError if `file` cannot be read.
    """
    try:
        with sys.stdin.buffer if file == "-" else Path(file).open("rb") as stream:
            data = stream.read(MAX_PROFILE + 1)
    except OSError as error:
        raise CommandError(f"{file} cannot be read: {error.strerror}", CommandExit.REFUSED) from error
    if len(data) > MAX_PROFILE:
        raise CommandError(f"{file} is larger than {MAX_PROFILE // 2**20} MiB", CommandExit.REFUSED)
    return embed_files(decode(data), Path.cwd() if file == "-" else Path(file).parent, ask=ask)


def embed_files(text: str, directory: Path, *, ask: Collection[str] = ()) -> ProfileFile:
    """`text` with the content of each file that it names, relative to `directory`; `ask` as for `read_profile`.

    What is not a profile stays as it is.
    """
    try:
        if ask:
            text = whole(without_credentials(text, ask))
        return _Embedding(text, directory, ask).profile()
    except ProfileTextError:
        return ProfileFile(text)


class _Embedding:
    """The lines of one profile while files are embedded.

    Of several options of a name the last one counts, as for the engine: the files of the others are not read.
    """

    def __init__(self, text: str, directory: Path, ask: Collection[str]) -> None:
        """Raises ProfileTextError."""
        self._lines = text.split("\n")
        self._directory = directory
        self._ask = ask
        self._blocks: list[str] = []
        self._refused: list[Remark] = []
        self._warnings: list[Remark] = []
        self._stored: list[Remark] = []
        self._relative = False  # a file was, to the directory
        options = tokenize(text)
        self._cd = [option for option in options if option.name == "cd"]
        # openvpn(8), --cd: it changes to the directory at once, and opens files once it has read all options.
        for option in self._cd:
            self._directory /= option.params[0] if self._is_whole(option) else ""
        self._last = {_block_of(option): option for option in options if option.params[:1] not in _NO_FILE}
        for option in blocks_of_credentials(options):
            self._store(option, "they stand in it")
        for option in options:
            if option.block is None and (file := _file_of(option)):
                self._embed(option, file)

    def profile(self) -> ProfileFile:
        """The result."""
        for cd in self._cd if self._relative else ():
            self._put(cd, "", f"# done before: cd {cd.params[0]}")
        text = "\n".join(self._lines)
        if self._blocks and not text.endswith("\n"):
            text += "\n"
        text += "".join(self._blocks)
        if len(text.encode()) > MAX_PROFILE:
            self._refused.append(Remark(f"with the files it names it is larger than {MAX_PROFILE // 2**20} MiB"))
        return ProfileFile(text, tuple(self._refused), tuple(self._warnings), tuple(self._stored))

    def _embed(self, option: Option, file: str) -> None:
        name = _block_of(option)
        if self._last[name] is not option:
            self._put(option, _rest_of(option), f"# not used, see line {self._last[name].line}: {option.name} {file}")
        elif name in self._ask:
            self._put(option, _rest_of(option) or ASKED[name], "")
        else:
            try:
                block = self._block(option, name, file)
            except Unusable as reason:
                self._fail(option, name, str(reason))
            else:
                self._blocks.append(block)
                self._put(option, _rest_of(option), mark(name, file))

    def _block(self, option: Option, name: str, file: str) -> str:
        """The block for an option that names a file.  Raises Unusable."""
        wrong = next((cd for cd in self._cd if not self._is_whole(cd)), None)
        if wrong and not Path(file).is_absolute():
            raise Unusable(f"where {file} is cannot be told: cd in line {wrong.line} has to name one directory")
        found = NamedFile(self._directory, file)
        if name == "pkcs12":
            text = base64.encodebytes(found.content).decode()
        elif name in ASKED:
            text = found.credentials()
            if name != "auth-user-pass" and text.count("\n") < 2:
                raise Unusable(f"{found.path} needs a user name and, on the next line, a password")
        else:
            text = found.text()
        block = f"<{name}>\n{text}</{name}>\n"
        if f"</{name}>" in text:
            raise Unusable(f"{found.path} cannot be embedded: it contains </{name}>")
        try:
            tokenize(block)
        except ProfileTextError as error:
            raise Unusable(f"{found.path} cannot be embedded: {error.problem}") from None
        self._relative |= not Path(file).is_absolute()
        self._warn(option, name, found)
        return block

    def _store(self, option: Option, whence: str) -> None:
        text = f"user name and password are stored with the profile ({whence}); --ask-credentials leaves them out"
        self._stored.append(Remark(text, option.name, option.line))

    def _warn(self, option: Option, name: str, found: NamedFile) -> None:
        remarks = []
        if name in ASKED:
            self._store(option, f"from {found.path}")
        if found.changed_by_others:
            remarks.append(f"{found.path} may be changed by other users")
        if found.read_by_others and name in _SECRET:
            remarks.append(f"{found.path} may be read by other users")
        self._warnings += (Remark(text, option.name, option.line) for text in remarks)

    def _is_whole(self, cd: Option) -> bool:
        """Whether `cd` is as OpenVPN would have it: that of options that are dropped is not looked at before."""
        try:
            return len(cd.params) == 1 and words_of(self._lines[cd.line - 1], cd.line)[-1:] == [*cd.params]
        except ProfileTextError:
            return False

    def _fail(self, option: Option, name: str, reason: str) -> None:
        if name in ASKED:
            self._warnings.append(Remark(f"{reason}; what it should hold is asked for", option.name, option.line))
            self._put(option, _rest_of(option) or ASKED[name], "")
        else:
            self._refused.append(Remark(reason, option.name, option.line))

    def _put(self, option: Option, line: str, comment: str) -> None:
        self._lines[option.line - 1] = f"{line} {comment}".strip()


def _block_of(option: Option) -> str:
    """The block that would hold what an option names: mostly its own."""
    return "http-proxy-user-pass" if option.name == "http-proxy" and credentials_file(option) else option.name


def _file_of(option: Option) -> str | None:
    """The file that is to be embedded for `option`; None if it names none, or one that cannot be."""
    if file := credentials_file(option):
        return file if _block_of(option) in ASKED else None
    rule = OPTIONS.get(option.name)
    if rule is None or rule.embed is not Embed.MUST or option.name in ("connection", *ASKED):
        return None
    if len(option.params) not in _PARAMS.get(option.name, (1,)) or option.params[0] in INLINE:
        return None
    return option.params[0]


def _rest_of(option: Option) -> str:
    """What an option says beside the file that it names, as a line; empty if there is nothing."""
    if option.name == "tls-auth" and len(option.params) == 2:
        rest = Option("key-direction", option.params[1:])
    elif option.name == "http-proxy":
        rest = replace(option, params=(*option.params[:2], "stdin", *option.params[3:]))
    else:
        return ""
    return render(rest).rstrip("\n")
