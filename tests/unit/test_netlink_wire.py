"""Messages of netlink(7), packed and parsed: whatever is packed is found again, and what is malformed is said to be."""

import errno
import os
import struct
from collections.abc import Callable
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ...kernel.netlink import rtnetlink, wire
from ...kernel.netlink.answer import Answer
from ...kernel.netlink.wire import Attributes, Malformed
from ...policy.limits import MAX_KERNEL_WORDS

KINDS = st.integers(0, 0x3FFF)
CONTENT = st.binary(max_size=200)
HEAD = struct.Struct("=BBBBI")
ONE, LAST = 7, 9  # sequence numbers


@given(st.lists(st.tuples(st.integers(16, 0xFFFF), st.integers(0, 0xFFFF), st.integers(0, 2**32 - 1), CONTENT)))
def test_messages_are_found_again(sent: list[tuple[int, int, int, bytes]]) -> None:
    data = b"".join(wire.pack(kind, flags, body, sequence) for kind, flags, sequence, body in sent)
    assert len(data) % 4 == 0
    assert [tuple(one) for one in wire.messages(data)] == sent


@given(st.lists(st.tuples(KINDS, CONTENT)))
def test_attributes_are_found_again(content: list[tuple[int, bytes]]) -> None:
    body = HEAD.pack(1, 2, 3, 4, 5) + b"".join(wire.attribute(kind, one) for kind, one in content)
    head, found = wire.parse(body, HEAD)
    assert head == (1, 2, 3, 4, 5)
    assert list(wire.attributes(body, HEAD.size)) == content
    assert found == dict(content)


@given(
    KINDS,
    KINDS,
    st.integers(0, 2**32 - 1),
    st.integers(-(2**31), 2**31 - 1),
    st.text(st.characters(codec="ascii", exclude_characters="\0")),
)
def test_what_is_in_attributes_is_found_again(kind: int, inner: int, number: int, signed: int, text: str) -> None:
    def nested(content: bytes) -> Attributes:
        return Attributes(wire.attributes(wire.nested(kind, content))).nested(kind)

    assert nested(wire.u32(inner, number)).u32(inner) == number
    assert nested(wire.s32(inner, signed)).s32(inner) == signed
    assert nested(wire.text(inner, text)).text(inner) == text
    for address in (ip_address(number), ip_address(number << 96 | number)):
        assert nested(wire.attribute(inner, address.packed)).address(inner) == address


def test_what_is_not_there() -> None:
    none = Attributes()
    assert (none.u32(1), none.u32(1, 5), none.s32(1, -5), none.text(1), none.address(1)) == (0, 5, -5, "", None)
    assert none.nested(1) == {} and none.fields(1, HEAD) is None


@pytest.mark.parametrize(
    "read",
    [
        lambda found: found.u32(1),
        lambda found: found.s32(1),
        lambda found: found.address(1),
        lambda found: found.nested(1),
        lambda found: found.fields(1, HEAD),
    ],
)
def test_attributes_that_hold_something_else_are_malformed(read: Callable[[Attributes], object]) -> None:
    for content in (b"abcde", b"\xff" * 6):
        with pytest.raises(Malformed):
            read(Attributes({1: content}))


def test_an_attribute_holds_no_more_than_its_length_can_say() -> None:
    assert Attributes(wire.attributes(wire.attribute(1, bytes(65531)))) == {1: bytes(65531)}
    with pytest.raises(ValueError, match="65532 bytes"):
        wire.attribute(1, bytes(65532))


@given(st.binary(max_size=300))
def test_nothing_but_malformed_comes_of_any_bytes(data: bytes) -> None:
    """And no byte of what there is no message for is taken for one."""
    found: list[wire.Message] = []
    try:
        found.extend(wire.messages(data))
    except Malformed as error:
        assert error.errno == errno.EBADMSG and str(error.strerror).isprintable()
    else:
        assert sum(16 + len(one.body) + -len(one.body) % 4 for one in found) >= len(data)
    for parse in (lambda: list(wire.attributes(data)), lambda: wire.parse(data, rtnetlink.RTMSG)):
        try:
            parse()
        except Malformed:
            pass


@given(st.lists(CONTENT, min_size=1, max_size=4), st.data())
def test_what_is_cut_off_is_malformed(bodies: list[bytes], data: st.DataObject) -> None:
    """All before it is found."""
    whole = [wire.pack(20, 0, body) for body in bodies]
    kept = data.draw(st.integers(0, len(whole) - 1))
    length = 16 + len(bodies[kept])  # without what fills it up to four bytes
    cut = data.draw(st.integers(1, length - 1))
    reading = wire.messages(b"".join(whole[:kept]) + whole[kept][:cut])
    assert [next(reading).body for _ in range(kept)] == bodies[:kept]
    with pytest.raises(Malformed):
        next(reading)


# Answers


def error(number: int, words: str = "", *, sequence: int = LAST, asked: bytes = b"", capped: bool = False) -> bytes:
    """As the kernel answers a message whose body is `asked`."""
    header = struct.pack("=IHHII", 16 + len(asked), 20, 5, sequence, 0)
    body = struct.pack("=i", -number) + header + (b"" if capped else asked + bytes(-len(asked) % 4))
    flags = wire.NLM_F_CAPPED if capped else 0
    if words:
        body += wire.text(1, words) + wire.u32(2, 16)
        flags |= wire.NLM_F_ACK_TLVS
    return wire.pack(wire.NLMSG_ERROR, flags, body, sequence)


def refused(data: bytes, first: int = LAST) -> OSError | None:
    answer = Answer(first, LAST)
    assert answer.take(data)
    return answer.refusal


@pytest.mark.parametrize("capped", [True, False])
@pytest.mark.parametrize("asked", [b"", b"12345", bytes(40)])
def test_a_refusal_has_the_kernels_own_words(asked: bytes, capped: bool) -> None:
    told = refused(error(errno.EINVAL, "Nexthop has invalid gateway.", asked=asked, capped=capped))
    assert told is not None
    assert (told.errno, told.strerror) == (errno.EINVAL, "Invalid argument (Nexthop has invalid gateway)")
    plain = refused(error(errno.ENOENT, asked=asked, capped=capped))
    assert isinstance(plain, FileNotFoundError) and plain.strerror == os.strerror(errno.ENOENT)
    assert refused(error(0, "a warning", asked=asked, capped=capped)) is None


def test_words_are_short_and_printable() -> None:
    told = refused(error(errno.EPERM, "\x1b[31m" + "x" * 5000 + "\n", capped=True))
    assert told is not None and told.strerror is not None
    assert told.strerror.isprintable() and len(told.strerror) < MAX_KERNEL_WORDS + 40


@pytest.mark.parametrize("cut", [1, 4, 9])
def test_words_that_are_malformed_hide_no_refusal(cut: int) -> None:
    whole = error(errno.EPERM, "words", capped=True)[16:-cut]
    told = refused(wire.pack(wire.NLMSG_ERROR, wire.NLM_F_CAPPED | wire.NLM_F_ACK_TLVS, whole, LAST))
    assert isinstance(told, PermissionError)


def test_a_dump_ends_with_its_last_word() -> None:
    answer = Answer(LAST, LAST)
    some = [wire.pack(20, wire.NLM_F_MULTI, bytes([number] * 5), LAST) for number in range(4)]
    assert not answer.take(some[0] + some[1])
    assert not answer.take(
        wire.pack(20, 0, b"of another question", LAST - 1) + wire.pack(wire.NLMSG_NOOP, 0, b"", LAST)
    )
    assert answer.take(some[2] + some[3] + wire.pack(wire.NLMSG_DONE, wire.NLM_F_MULTI, bytes(4), LAST))
    assert [one.body[0] for one in answer.messages] == [0, 1, 2, 3]
    assert answer.refusal is None and not answer.interrupted
    told = refused(wire.pack(wire.NLMSG_DONE, wire.NLM_F_ACK_TLVS, struct.pack("=i", -22) + wire.text(1, "no"), LAST))
    assert told is not None and told.strerror == "Invalid argument (no)"


@pytest.mark.parametrize("which", [0, 1])
def test_an_interrupted_dump_is_known(which: int) -> None:
    """Any message of it may say so, the last one too."""
    answer = Answer(LAST, LAST)
    flags = [0, 0]
    flags[which] = wire.NLM_F_DUMP_INTR
    assert answer.take(wire.pack(20, flags[0], b"", LAST) + wire.pack(wire.NLMSG_DONE, flags[1], bytes(4), LAST))
    assert answer.interrupted


def test_of_a_batch_the_first_refusal_counts() -> None:
    told = refused(error(errno.EBUSY, sequence=ONE) + error(errno.ENOENT, sequence=ONE + 1), ONE)
    assert told is not None and told.errno == errno.EBUSY
    answer = Answer(ONE, LAST)
    assert not answer.take(error(0, sequence=ONE) + error(errno.EPERM, sequence=ONE - 1))
    assert answer.take(error(0, sequence=LAST)) and answer.refusal is None


@pytest.mark.parametrize(
    ("data", "number"),
    [
        (wire.pack(wire.NLMSG_OVERRUN, 0, b"", LAST), errno.ENOBUFS),
        (wire.pack(wire.NLMSG_ERROR, 0, b"", LAST), errno.EBADMSG),
        (wire.pack(wire.NLMSG_DONE, 0, b"ab", LAST), errno.EBADMSG),
        (error(errno.EPERM)[:-5], errno.EBADMSG),
    ],
)
def test_what_is_no_answer_is_said(data: bytes, number: int) -> None:
    with pytest.raises(OSError) as failed:
        Answer(LAST, LAST).take(data)
    assert failed.value.errno == number


@given(st.binary(max_size=200), st.integers(0, 5), st.integers(0, 0xFFFF))
def test_any_last_word_ends_a_question_or_is_malformed(body: bytes, kind: int, flags: int) -> None:
    for data in (body, wire.pack(kind, flags, body, LAST)):
        try:
            Answer(LAST, LAST).take(data)
        except OSError as error:
            assert error.errno in (errno.EBADMSG, errno.ENOBUFS)
