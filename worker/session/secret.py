"""Building commands from what a user typed, without leaving a copy in memory.

A str or bytes cannot be overwritten, and Python leaves what it frees as it is.  So these stay in bytearrays, of the
right size from the beginning (one that grows leaves its old self behind), and whoever used one overwrites it.
"""

Text = bytes | bytearray

_BASE64 = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_ESCAPED = b'"\\'


def overwrite(*texts: bytearray) -> None:
    """Fill with zeros."""
    for text in texts:
        text[:] = bytes(len(text))


def joined(*parts: Text) -> bytearray:
    """The parts one after the other."""
    whole = bytearray(sum(map(len, parts)))
    at = 0
    for part in parts:
        whole[at : at + len(part)] = part
        at += len(part)
    return whole


def quoted(text: Text) -> bytearray:
    """One parameter of a management command, as management.quote."""
    whole = bytearray(len(text) + sum(text.count(byte) for byte in _ESCAPED) + 2)
    whole[0] = whole[-1] = _ESCAPED[0]
    at = 1
    for byte in text:
        if byte in _ESCAPED:
            whole[at] = _ESCAPED[1]
            at += 1
        whole[at] = byte
        at += 1
    return whole


def in_base64(text: Text) -> bytearray:
    """As base64.b64encode (RFC 4648, section 4)."""
    whole = bytearray(b"=" * ((len(text) + 2) // 3 * 4))
    bits = count = at = 0
    for byte in (*text, *([0] if len(text) % 3 else [])):
        bits, count = bits << 8 | byte, count + 8
        while count >= 6:
            count -= 6
            if at * 6 < len(text) * 8:
                whole[at] = _BASE64[bits >> count & 63]
                at += 1
        bits &= 63
    return whole
