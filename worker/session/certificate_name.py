"""The name of a certificate's owner, for a user who chooses among several (X.509 in DER, RFC 5280, X.690).

The bytes come from a token, through the engine: anything may be in them.
"""

from collections.abc import Iterator

_CONTEXT_0 = 0xA0  # the version, which old certificates lack
_COMMON_NAME = bytes((0x06, 3, 0x55, 0x04, 0x03))  # object identifier 2.5.4.3
_SUBJECT = 4  # serial number, algorithm, issuer and validity come first
# The encodings of string types; a worker has no files to load others from.
_TEXTS = {0x0C: "utf-8", 0x13: "ascii", 0x14: "latin-1", 0x16: "ascii"}


def common_name(certificate: bytes) -> str:
    """The last common name of the subject, or "" where there is none to be found."""
    try:
        _, outer = next(_elements(certificate))
        _, signed = next(_elements(outer))
        fields = [element for element in _elements(signed) if element[0] != _CONTEXT_0]
        name = ""
        for _, relative in _elements(fields[_SUBJECT][1]):
            for _, attribute in _elements(relative):
                if attribute.startswith(_COMMON_NAME):
                    kind, text = next(_elements(attribute[len(_COMMON_NAME) :]))
                    name = text.decode(_TEXTS[kind])
        return name
    except (StopIteration, IndexError, KeyError, ValueError):
        return ""


def _elements(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Tag and content of each element.  Raises ValueError."""
    at = 0
    while at < len(data):
        header = data[at : at + 2]
        if len(header) < 2:
            raise ValueError("cut off")
        tag, length = header
        at += 2
        if length > 0x80:
            size = length & 0x7F
            length = int.from_bytes(data[at : at + size], "big")
            at += size
        elif length == 0x80:
            raise ValueError("not DER")
        if at + length > len(data):
            raise ValueError("cut off")
        yield tag, data[at : at + length]
        at += length
