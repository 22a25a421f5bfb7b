"""What becomes of an option that OpenVPN does not have."""

from msgspec.structs import replace

from ...policy.profile.misspelt import meant
from ...policy.profile.options import Treatment
from ...policy.profile.options_foreign import FOREIGN
from ...policy.profile.syntax import Option
from .values import refusal, shown


def unknown(option: Option, *, optional: bool) -> tuple[str, str]:
    """What is left out, fit for a message, and why.

    Raises ProfileRefused for one that is likely to be misspelt, or without which the server cannot be had; but for one
    that is `optional`.
    """
    rule = FOREIGN.get(option.name)
    if rule is None:
        what, reason = shown(option.name), "OpenVPN has no such option"
        if not optional and (likely := meant(option.name)):
            raise refusal(replace(option, name=what), f"{reason}; did you mean {likely}?")
        return what, reason
    if not optional and rule.treatment is Treatment.REFUSED:
        raise refusal(option, rule.reason)
    return option.name, rule.reason
