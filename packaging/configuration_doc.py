"""The configuration file that is installed, with every key as a comment, and what its manual page says of each."""

import json
import textwrap
from collections.abc import Iterator

from ..policy.configuration.option import Option, Section
from ..policy.configuration.table import DIRECTORY, KEYS

_WIDTH = 100
_HEAD = f"""\
The configuration of openvpn3-service-sessionmgr: openvpn3-sessionmgr.conf(5). What stands here as a comment is the \
default. Changes count after `systemctl reload openvpn3-sessionmgr`, or when the service starts the next time; \
`ovpnctl config-check` says whether they can be used. Files in {DIRECTORY}/config.d, in the order of their names, \
count more than this one, and the command line more than these"""


def sample_file() -> str:
    """config.toml as it is installed."""
    lines = list(_comment(_HEAD))
    for section in Section:
        lines += ["", f"## {section}"]
        for option in of(section):
            lines += ["", *_comment(option.text), f"#{option.name} = {written(option)}"]
    return "\n".join((*lines, ""))


def of(section: Section) -> list[Option]:
    """The keys below a heading."""
    return [option for option in KEYS.values() if option.section is section]


def written(option: Option) -> str:
    """The default of a key as TOML has it, or an example where it has none."""
    if option.default is None:
        return option.example or "false"
    if option.kind.form == "number":
        return option.default
    words = option.default.split(option.kind.separator) if option.kind.form == "list" else [option.default]
    return json.dumps(words[0] if len(words) == 1 else words, ensure_ascii=False)


def _comment(text: str) -> Iterator[str]:
    return (f"# {line}" for line in textwrap.wrap(text[:1].upper() + text[1:] + ".", _WIDTH - 2))
