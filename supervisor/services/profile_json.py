"""A profile as JSON, in the form of OpenVPN 3 Linux: what FetchJSON gives."""

from json.encoder import encode_basestring

from ...policy.pieces import Pieces
from ...policy.profile.syntax import Option, decode, tokenizing

# Options of which clients expect a list of occurrences even if there is only one.
_LISTS = {"connection", "peer-fingerprint", "pull-filter", "remote", "route", "route-ipv6"}

_PIECE = 16 * 1024  # characters of a string


def profile_json(profile: bytes) -> Pieces[str]:
    """The options of `profile` by name: null, a list of parameters, or a list of one block's text.

    An option that may come several times, or does, has a list of these.  Raises ProfileTextError.
    """
    by_name: dict[str, list[Option]] = {}
    for option in (yield from tokenizing(decode(profile))):
        by_name.setdefault(option.name, []).append(option)
    if not by_name:
        return "{}"
    parts: list[str] = []
    for number, name in enumerate(sorted(by_name)):
        parts.append(f"{',' if number else '{'}\n\t{encode_basestring(name)}: ")
        options = by_name[name]
        if name in _LISTS or len(options) > 1:
            for index, option in enumerate(options):
                parts.append(",\n\t\t" if index else "[\n\t\t")
                yield from _write(option, "\t\t", parts)
            parts.append("\n\t]")
        else:
            yield from _write(options[0], "\t", parts)
    parts.append("\n}")
    return "".join(parts)


def _write(option: Option, indent: str, parts: list[str]) -> Pieces[None]:
    """Append the value of one occurrence to `parts`."""
    if option.block is not None:
        parts.append(f'[\n{indent}\t"')
        for at in range(0, len(option.block), _PIECE):
            parts.append(encode_basestring(option.block[at : at + _PIECE])[1:-1])
            yield
        parts.append(f'"\n{indent}]')
    elif option.params:
        words = f",\n{indent}\t".join(map(encode_basestring, option.params))
        parts.append(f"[\n{indent}\t{words}\n{indent}]")
        yield
    else:
        parts.append("null")
