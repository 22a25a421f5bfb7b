"""A profile as JSON, in the form of OpenVPN 3 Linux: what FetchJSON gives."""

import json

from ...policy.profile.syntax import Option, decode, tokenize

# Options of which clients expect a list of occurrences even if there is only one.
_LISTS = {"connection", "peer-fingerprint", "pull-filter", "remote", "route", "route-ipv6"}

_Value = list[str] | list[list[str] | None] | None


def profile_json(profile: bytes) -> str:
    """The options of `profile` by name: null, a list of parameters, or a list of one block's text.

    An option that may come several times, or does, has a list of these.  Raises ProfileTextError.
    """
    by_name: dict[str, list[Option]] = {}
    for option in tokenize(decode(profile)):
        by_name.setdefault(option.name, []).append(option)
    return json.dumps({name: _value(name, by_name[name]) for name in sorted(by_name)}, ensure_ascii=False, indent="\t")


def _value(name: str, options: list[Option]) -> _Value:
    values = [_parameters(option) for option in options]
    return values if name in _LISTS or len(values) > 1 else values[0]


def _parameters(option: Option) -> list[str] | None:
    if option.block is not None:
        return [option.block]
    return list(option.params) or None
