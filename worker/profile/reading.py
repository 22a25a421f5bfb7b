"""Read the text of a profile, before it is known what becomes of its options."""

from ...policy.limits import MAX_PROFILE
from ...policy.profile.embedded import where_named
from ...policy.profile.other_formats import other_format
from ...policy.profile.syntax import Option, ProfileTextError, decode, tokenize
from ...policy.profile.validity import problem
from .values import ProfileRefused


def read_options(profile: bytes | str) -> tuple[list[Option], str]:
    """The options of `profile`, and why they are no valid one, "" if they are.

    Raises ProfileRefused, ProfileTextError.
    """
    raw = profile.encode("utf-8", "replace") if isinstance(profile, str) else profile
    if len(raw) > MAX_PROFILE:
        raise ProfileRefused(f"the profile is larger than {MAX_PROFILE // 1024} KiB")
    text = decode(raw)
    try:
        options = where_named(text, tokenize(text))
    except ProfileTextError:
        if other := other_format(text):
            raise ProfileRefused(other) from None
        raise
    return options, problem(text, options) or ""
