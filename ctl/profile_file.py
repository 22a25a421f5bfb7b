"""Reading a profile from a file, and embedding the files that it names.

The services never read a user's files, so a profile must be complete when it is imported.
"""

import base64
import sys
from pathlib import Path

from ..policy.limits import MAX_PROFILE
from ..policy.profile.options import OPTIONS, Embed
from ..policy.profile.syntax import Option, ProfileTextError, tokenize
from .exits import CommandError, CommandExit

# Their content would go to the server: a profile must not be able to pick any file of the user's for that.
_NOT_READ = {"auth-user-pass", "http-proxy-user-pass", "connection"}
_LARGE = f"larger than {MAX_PROFILE // 2**20} MiB"


def read_profile(file: str) -> str:
    """The text of a profile file, "-" for standard input, with the files it names embedded.

    Raises CommandError.
    """
    text = _text(_content(file), file)
    directory = Path.cwd() if file == "-" else Path(file).parent
    text = embed_files(text, directory)
    if len(text.encode()) > MAX_PROFILE:
        raise CommandError(f"{file} with the files it names is {_LARGE}", CommandExit.REFUSED)
    return text


def embed_files(text: str, directory: Path) -> str:
    """`text` with each option that names a file, relative to `directory`, replaced by a block of its content.

    What is not a profile is returned as it is: the service says what is wrong.  Raises CommandError for a file
    that cannot be used.
    """
    try:
        options = tokenize(text)
    except ProfileTextError:
        return text
    lines = text.split("\n")
    for option in options:
        if _names_a_file(option):
            lines[option.line - 1] = _block(option, directory)
    return "\n".join(lines)


def _names_a_file(option: Option) -> bool:
    rule = OPTIONS.get(option.name)
    return (
        rule is not None
        and rule.embed is Embed.MUST
        and option.name not in _NOT_READ
        and option.block is None
        and len(option.params) in ((1, 2) if option.name == "tls-auth" else (1,))
        and option.params[0] != "[inline]"
    )


def _block(option: Option, directory: Path) -> str:
    what = f"{option.params[0]} ({option.name} in line {option.line})"
    content = _content(str(directory / option.params[0]), what)
    if option.name == "pkcs12":
        text = base64.encodebytes(content).decode()
    else:
        text = _text(content, what).removesuffix("\n") + "\n"
    if f"</{option.name}>" in text:
        raise CommandError(f"{what} cannot be embedded: it contains </{option.name}>", CommandExit.REFUSED)
    block = f"<{option.name}>\n{text}</{option.name}>"
    if option.name == "tls-auth" and len(option.params) == 2:
        return f"key-direction {option.params[1]}\n{block}"
    return block


def _content(file: str, what: str = "") -> bytes:
    try:
        with sys.stdin.buffer if file == "-" else Path(file).open("rb") as stream:
            data = stream.read(MAX_PROFILE + 1)
    except OSError as error:
        raise CommandError(f"{what or file} cannot be read: {error.strerror}", CommandExit.REFUSED) from error
    if len(data) > MAX_PROFILE:
        raise CommandError(f"{what or file} is {_LARGE}", CommandExit.REFUSED)
    return data


def _text(data: bytes, what: str) -> str:
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise CommandError(f"{what} is not UTF-8 text (at byte {error.start})", CommandExit.REFUSED) from error
    if "\0" in text:
        raise CommandError(f"{what} is not text: it contains a NUL byte", CommandExit.REFUSED)
    return text
