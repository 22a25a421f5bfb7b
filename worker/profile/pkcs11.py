"""The PKCS#11 options of a profile, in the form that the engine gets (openvpn(8), PKCS#11)."""

from collections.abc import Collection, Sequence

from msgspec.structs import replace

from ...policy.profile.pkcs11 import OPTION, ListedProvider, find, token_label
from ...policy.profile.syntax import Option, render
from .values import refusal, shown

# Options that say where a key is, which cannot be in two places.
_OTHER_KEYS = ("key", "pkcs12")


class Pkcs11Options:
    """The PKCS#11 options of one profile."""

    def __init__(self, listed: Sequence[ListedProvider] | None) -> None:
        """`listed` are the providers of this machine, None if they are not known."""
        self._listed = listed
        self._options: dict[str, Option] = {}  # the last one counts, as for the engine

    def read(self, option: Option) -> None:
        """Take one of the profile's options."""
        self._options[option.name] = option

    def compiled(self, all_names: Collection[str]) -> tuple[str, str]:
        """Lines for the engine, and the label of the token whose PIN it will ask for, "" if that is not known.

        `all_names` are those of all of the profile's options.  Raises ProfileRefused, ProfileTextError.
        """
        if not self._options:
            return "", ""
        options = dict(self._options)
        if OPTION not in options:
            first = next(iter(options.values()))
            raise refusal(first, f"needs {OPTION} with the name of a provider; {self._choice()}")
        providers = options[OPTION]
        for name in _OTHER_KEYS:
            if name in all_names:
                raise refusal(providers, f"the profile has a <{name}> as well; remove one of the two")
        modules = tuple(self._module(providers, text) for text in providers.params)
        options[OPTION] = replace(providers, params=modules)
        identity = options.get("pkcs11-id")
        if identity is None:
            options["pkcs11-id-management"] = Option("pkcs11-id-management")
        elif "pkcs11-id-management" in options:
            raise refusal(identity, "the profile has pkcs11-id-management as well; remove one of the two")
        pad = options.get("pkcs11-protected-authentication")
        at_the_reader = pad is not None and any(value != "0" for value in pad.params)
        label = token_label(identity.params[0]) if identity is not None and not at_the_reader else ""
        return "".join(render(option) for option in options.values()), label

    def _module(self, option: Option, text: str) -> str:
        if self._listed is None:
            return text
        number = find(self._listed, text)
        if number is None:
            raise refusal(option, f"{shown(text)} is not a provider on this machine; {self._choice()}")
        if problem := self._listed[number].problem:
            raise refusal(option, f"the provider {self._listed[number].name} cannot be used: {problem}")
        return self._listed[number].module

    def _choice(self) -> str:
        if self._listed is None:
            return "only the service knows which there are"
        names = ", ".join(provider.name for provider in self._listed)
        listed = f"there are: {names}" if names else "there is none"
        return f"{listed}; the administrator adds one with the service's option --pkcs11-provider NAME=MODULE"
