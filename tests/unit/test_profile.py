"""Compiling profiles: what the engine gets, what the user is told, what is refused."""

import subprocess
import sys
import time

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from ...policy.limits import MAX_PROFILE, MAX_REMOTES, MAX_ROUTES
from ...policy.profile.options import ALLOWED, OPTIONS, REFUSED, Treatment
from ...policy.profile.options_foreign import FOREIGN
from ...policy.profile.syntax import tokenize
from ...worker.profile.compiler import compile_profile
from ...worker.profile.values import Need, ProfileRefused, Remote, StaticChallenge

BASE = "client\ndev tun\nremote vpn.example 1194 udp\n<ca>\nCA\n</ca>\n"
START = "client\ndev tun\n<ca>\nCA\n</ca>\n"  # a line more is line 6


def pem(label: str, body: str = "AAAA") -> str:
    return f"Subject: M\ufffdller\n-----BEGIN {label}-----\n{body}\n-----END {label}-----\n"


KEY = pem("PRIVATE KEY")


def config(lines: str) -> str:
    """What the engine gets of BASE and `lines`, without what it gets of BASE alone."""
    compiled = compile_profile(BASE + lines).config
    common = compile_profile(BASE).config
    assert compiled.startswith(common)
    return compiled.removeprefix(common)


def refusal(lines: str, base: str = START + "remote a\n") -> str:
    with pytest.raises(ProfileRefused) as raised:
        compile_profile(base + lines)
    return str(raised.value)


def test_a_plain_profile() -> None:
    compiled = compile_profile(BASE.encode())
    assert compiled.config == "client\nremote vpn.example 1194 udp\n<ca>\nCA\n</ca>\n"
    assert compiled.remotes == (Remote("vpn.example", 1194, "udp"),)
    assert compiled.warnings == () and compiled.needs == frozenset()
    assert compiled.static_challenge is None
    assert compiled.verbosity == 3
    assert "CA" not in repr(compiled)


def test_as_windows_writes_it() -> None:
    assert compile_profile(b"\xef\xbb\xbf" + BASE.replace("\n", "\r\n").encode()) == compile_profile(BASE)


@pytest.mark.parametrize(
    ("lines", "rendered"),
    [
        ("--float # comment", "float\n"),
        ("setenv opt float", "float\n"),
        ("setenv opt float 1", ""),
        ("verify-x509-name 'C=XX, CN=a b' subject", "verify-x509-name 'C=XX, CN=a b' subject\n"),
        ('static-challenge "it\'s" 1 scrv1', 'static-challenge "it\'s" 1\n'),
        ("static-challenge a 0 concat", "static-challenge a 0\n"),
        ("<auth-user-pass>\nme\n</auth-user-pass>", "auth-user-pass\n"),
        ("<auth-user-pass>\nme\nsecret\n</auth-user-pass>", "<auth-user-pass>\nme\nsecret\n</auth-user-pass>\n"),
        (
            "<auth-user-pass>\nme\nsecret\n</auth-user-pass>\nstatic-challenge a 0",
            "auth-user-pass\nstatic-challenge a 0\n",
        ),
        ("setenv UV_A 'b c'", "setenv UV_A 'b c'\n"),
        ("setenv IV_PLAT_VER x", "setenv IV_PLAT_VER x\n"),
        ("setenv IV_SSO webauth", ""),
        ("setenv PATH /tmp", ""),
        ("setenv LD_PRELOAD /tmp/x", ""),
        ("setenv PUSH_PEER_INFO", "push-peer-info\n"),
        ("setenv SERVER_POLL_TIMEOUT 4", "server-poll-timeout 4\n"),
        ("setenv FORWARD_COMPATIBLE 1", ""),
        ("tls-auth [inline] 1\n<tls-auth>\nK\n</tls-auth>", "key-direction 1\n<tls-auth>\nK\n</tls-auth>\n"),
        ("cert [inline]\n<cert>\nC\n</cert>", "<cert>\nC\n</cert>\n"),
        ("persist-tun\npersist-key", "persist-tun\npersist-key\n"),
        ("redirect-gateway def1\ndhcp-option DNS 192.0.2.1", "redirect-gateway def1\ndhcp-option DNS 192.0.2.1\n"),
        ("auth-user-pass stdin", "auth-user-pass\n"),
        ("peer-fingerprint 00:11\n<peer-fingerprint>\n22\n</peer-fingerprint>", None),
        ("auth-retry nointeract\nverb 4\ndev-type tun\ndisable-dco\nmode p2p\naskpass", ""),
    ],
)
def test_what_the_engine_gets(lines: str, rendered: str | None) -> None:
    assert config(lines) == (lines + "\n" if rendered is None else rendered)


@pytest.mark.parametrize(
    ("lines", "warnings"),
    [
        ("user nobody\ngroup x", ["user (line 7)", "group (line 8)"]),
        ("up a\n--up b\n\nup c\n'up' d", ["up (lines 7, 8, 10, ...)"]),
        ("setenv opt block-outside-dns", ["block-outside-dns (line 7)"]),
        ("setenv PATH x\nsetenv-safe A b", ["setenv 'PATH' (line 7)", "setenv-safe (line 8)"]),
        ("setenv opt --up x", ["'--up' (line 7)"]),
        ("setenv FRIENDLY_NAME Bob's VPN at home\nsetenv COLOUR dark blue", ["setenv 'COLOUR' (line 8)"]),
        ("Up x", ["'Up' (line 7)"]),
        ("<foo>\nup a\n</foo>\n<a b>\n</a b>", ["'foo' (line 7)", "'<a' (line 10)"]),
        ("\u202etxt " + "y" * 90, ["'\\u202etxt' (line 7)"]),
        ("verb 11", ["verb 11 (line 7)"]),
        ("dev-type tun\ndev mytun", []),
        ("http-proxy-option AGENT x", ["http-proxy-option (line 7)"]),
        ("askpass f", ["askpass (line 7)"]),
        ("setenv FRIENDLY_NAME \"Bob\nsetenv COLOUR 'dark\nup C:\\x", ["setenv 'COLOUR' (line 8)", "up (line 9)"]),
        ("<auth-user-pass>\n\nsecret\n</auth-user-pass>", ["<auth-user-pass> (line 7)"]),
        (
            "# OVPN_ACCESS_SERVER_WSHOST=vpn.example:443\n# OVPN_ACCESS_SERVER_WEB_CA_BUNDLE_START\n#viscosity name x",
            [],
        ),
        ("<dh>\nD\n</dh>", ["dh (line 7)"]),
    ],
)
def test_what_the_user_is_told(lines: str, warnings: list[str]) -> None:
    if "<a b>" in lines:  # not one word, so not a block: its lines are options
        lines = lines.replace("</a b>", "")
    compiled = compile_profile(BASE + lines)
    assert [warning.partition(" is ignored: ")[0] for warning in compiled.warnings] == warnings
    assert compiled.config.startswith(compile_profile(BASE).config)


def test_warnings_are_bounded() -> None:
    warnings = compile_profile(BASE + "".join(f"unknown-{i}\n" for i in range(9000))).warnings
    assert len(warnings) == 101
    assert warnings[-1] == "8900 further options are ignored"


@pytest.mark.parametrize(
    ("lines", "needs"),
    [
        ("auth-user-pass", {Need.USER_PASSWORD}),
        ("auth-user-pass username-only", {Need.USER_PASSWORD}),
        ("auth-user-pass\n<auth-user-pass>\nme\nsecret\n</auth-user-pass>", set()),
        ("<auth-user-pass>\nme\nsecret\n</auth-user-pass>\nauth-user-pass", {Need.USER_PASSWORD}),
        ("<auth-user-pass>\nme\n</auth-user-pass>", {Need.USER_PASSWORD}),
        ("<auth-user-pass>\n\nsecret\n</auth-user-pass>", {Need.USER_PASSWORD}),
        ("static-challenge OTP 1", {Need.STATIC_CHALLENGE}),
        (f"<key>\n{pem('ENCRYPTED PRIVATE KEY')}</key>", {Need.KEY_PASSPHRASE}),
        (f"<key>\n{pem('RSA PRIVATE KEY', 'Proc-Type: 4,ENCRYPTED')}</key>", {Need.KEY_PASSPHRASE}),
        (f"<key>\n{KEY}</key>\naskpass", set()),
        ("<pkcs12>\nAAAA\n</pkcs12>", {Need.KEY_PASSPHRASE}),
    ],
)
def test_what_the_user_must_type(lines: str, needs: set[Need]) -> None:
    assert compile_profile(BASE + lines).needs == needs


@pytest.mark.parametrize(
    ("lines", "login"),
    [
        ("<auth-user-pass>\nme\n</auth-user-pass>", ("me",)),
        ("<auth-user-pass>\nme\nsecret\n</auth-user-pass>", ()),
        ("static-challenge a 0\n<auth-user-pass>\nme\nsecret\n</auth-user-pass>", ("me", "secret")),
        ("<auth-user-pass>\nme\n</auth-user-pass>\nauth-user-pass", ()),
        ("<auth-user-pass>\n\nsecret\n</auth-user-pass>", ()),
    ],
)
def test_what_is_known_of_a_login_is_not_asked_for(lines: str, login: tuple[str, ...]) -> None:
    compiled = compile_profile(BASE + lines)
    assert compiled.login == login
    assert "secret" not in repr(compiled)


@pytest.mark.parametrize(("form", "appended"), [("", False), ("scrv1", False), ("concat", True)])
def test_static_challenge(form: str, appended: bool) -> None:
    compiled = compile_profile(BASE + f"static-challenge 'Your PIN' 0 {form}")
    assert compiled.static_challenge == StaticChallenge("Your PIN", False, appended)


@pytest.mark.parametrize(
    ("lines", "remotes"),
    [
        ("remote a", [("a", 1194, "udp")]),
        ("remote a\nport 443\nproto tcp6", [("a", 443, "tcp")]),
        ("remote a 80\nrport 443\nremote 2001:db8::1", [("a", 80, "udp"), ("2001:db8::1", 443, "udp")]),
        ("remote a 1 tcp-client\nremote b 2 udp4\nproto-force tcp", [("a", 1, "tcp")]),
        (
            "proto tcp\n<connection>\nremote a\n</connection>\nport 5\n"
            "<connection>\nremote b 7\nproto udp\n</connection>\nremote c",
            [("a", 1194, "tcp"), ("b", 7, "udp")],
        ),
    ],
)
def test_remotes(lines: str, remotes: list[tuple[str, int, str]]) -> None:
    found = compile_profile(START + lines).remotes
    assert [(remote.host, remote.port, remote.proto) for remote in found] == remotes


def test_connection_blocks_are_written_anew() -> None:
    compiled = compile_profile(
        START + "<connection>\n--remote a 1 # x\nup b\nfoo\n <tls-crypt>\n K\n</tls-crypt>\n</connection>\nremote b\n"
    )
    assert compiled.config.endswith("<connection>\nremote a 1\n<tls-crypt>\n K\n</tls-crypt>\n</connection>\n")
    assert [warning.partition(" is")[0] for warning in compiled.warnings] == [
        "up (line 8)",
        "'foo' (line 9)",
        "remote (line 14)",
    ]


def test_one_name_for_several_families_is_two_for_the_engine() -> None:
    compiled = compile_profile(START + "remote a 1 udp6\nremote a 2\nremote b 3 udp6\nremote 192.0.2.1 4 udp6\n")
    assert compiled.config.endswith("\nremote a. 1 udp6\nremote a 2\nremote b 3 udp6\n")
    assert [(remote.host, remote.alias) for remote in compiled.remotes] == [("a", "a."), ("a", ""), ("b", "")]
    assert compiled.warnings == ("remote 192.0.2.1 (line 9) is ignored: it is no IPv6 address",)


def test_no_server_of_the_family_wanted() -> None:
    assert "remote (line 6): it is no IPv6 address" in refusal("remote 192.0.2.1\nproto udp6", START)


def test_a_family_may_be_given_after_the_server() -> None:
    blocks = "".join(f"<connection>\nremote a\nproto {proto}\n</connection>\n" for proto in ("udp", "tcp6"))
    compiled = compile_profile(START + blocks)
    assert "<connection>\nremote a\nproto udp\n" in compiled.config
    assert "<connection>\nremote a.\nproto tcp6\n" in compiled.config


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ("cert my.crt", "cert (line 7): names the file 'my.crt'"),
        ("ca c.pem", "between <ca> and </ca>"),
        ("tls-auth ta.key 1", "tls-auth (line 7)"),
        ("crl-verify dir/ dir", "crl-verify (line 7): names a directory, which cannot be embedded"),
        ("crl-verify list.pem", "names the file 'list.pem'"),
        ("tls-remote", "use verify-x509-name"),
        ("tls-remote vpn.example", ", here: verify-x509-name vpn.example name"),
        ("tls-remote '/C=XX/O=Example/CN=a b'", ", here: verify-x509-name 'C=XX, O=Example, CN=a b' subject"),
        ("tls-remote \u202ea", "use verify-x509-name"),
        ("setenv UV_A b c", "quotes"),
        ("port \x07", "line 7: contains the control character U+0007"),
        ("static-challenge a 1 base64", "'base64' is no form"),
        ("verify-x509-names 'x", "did you mean verify-x509-name?"),
        ("auth-federate", "auth-federate (line 7): the server wants a web login (SAML)"),
        ("scramble obfuscate x", "scramble (line 7): the server takes only packets in a disguise"),
        ("cert [inline]", "no block <cert>"),
        ("<cert>\n\n</cert>", "empty block"),
        ("setenv UV_NAME Bob's VPN", "takes 1 to 2 parameters, not 3"),
        ("<float>\n1\n</float>", "cannot be a block"),
        ("dev tap0", "only tun"),
        ("dev-type tap", "only tun"),
        ("dev tun\ndev null", "only tun"),
        ("remap-usr1 SIGHUP", "remap-usr1 (line 7)"),
        ("setenv opt remap-usr1 SIGHUP", "remap-usr1 (line 7)"),
        ("secret k", "static keys"),
        ("<secret>\nk\n</secret>", "static keys"),
        ("management 127.0.0.1 1", "management (line 7)"),
        ("pkcs11-id x", "pkcs11-id (line 7): needs pkcs11-providers"),
        ("pkcs11-slot-type x", "removed from OpenVPN"),
        ("config other", "other files"),
        ("mode server", "server"),
        ("tls-verify x", "verify-x509-name"),
        ("providers legacy /tmp/x.so", "default, fips, legacy"),
        ("float 1", "takes 0 parameters, not 1"),
        ("route", "takes 1 to 4 parameters, not 0"),
        ("port 0", "not a port"),
        ("port 65536", "not a port"),
        ("port ²", "not a number"),
        ("remote 'a b'", "not a host"),
        ("proto tcp-server", "not udp or tcp-client"),
        ("proto-force tcp", "no server"),
        ("<connection>\nfloat\n</connection>", "exactly one remote"),
        ("<connection>\nremote a\nremote b\n</connection>", "exactly one remote"),
        ("<connection>\nremote a\nauth x\n</connection>", "auth (line 9): is not allowed in a <connection>"),
        ("<connection>\nremote a\nremap-usr1 x\n</connection>", "remap-usr1 (line 9)"),
        ("<connection>\nremote a\n<connection>\n</connection>\n</connection>", "line 11: '</connection>' closes"),
        ("<connection>\nremote a\n<tls-auth>\n</connection>\n", "line 9: '</tls-auth>' is missing"),
        ("<auth-user-pass>\n\udcff\na\u00fc\ufffd\n</auth-user-pass>", "(line 9): byte 4 of it is not UTF-8"),
        ("verify-x509-name B\ufffdro", "line 7: byte 19 of it is not UTF-8; save"),
        ("port '", "line 7: no closing quote"),
        ("setenv GENERIC_CONFIG 1", "Server locked"),
    ],
)
def test_refusals(lines: str, said: str) -> None:
    assert said in refusal(lines)


@pytest.mark.parametrize(
    ("line", "likely"),
    [
        ("verify-x509-names vpn name", "verify-x509-name"),
        ("verify-x509-nmae vpn name", "verify-x509-name"),
        ("verify-x509-nam vpn", "verify-x509-name"),
        ("VERIFY-X509-NAME vpn", "verify-x509-name"),
        ("remote_cert_tls server", "remote-cert-tls"),
        ("\u2014remote-cert-tls server", "remote-cert-tls"),
        ("remote-cert-tls\u00a0server", "remote-cert-tls"),
        ("\ufeffblock-ipv6", "block-ipv6"),
        ("proto\u00a0udp", "proto"),
        ("Crl-Verify [inline]", "crl-verify"),
        ("<tls-Crypt>\nK\n</tls-Crypt>", "tls-crypt"),
    ],
)
def test_an_option_that_protects_is_not_left_out_for_a_slip(line: str, likely: str) -> None:
    assert f"(line 7): OpenVPN has no such option; did you mean {likely}?" in refusal(line)
    name = line.split("\n")[0].split(" ")[0].strip("<>")
    compiled = compile_profile(BASE + f"ignore-unknown-option {name}\n{line}\n")
    assert [text for text in compiled.warnings if "OpenVPN has no such option" in text]
    if not line.startswith("<"):
        assert compile_profile(BASE + f"setenv opt {line}\n").warnings


@pytest.mark.parametrize("name", ["viscosity", "Up", "Verb", "remote-certs", "\u00a0", "x-tls-auth", *FOREIGN])
def test_what_only_other_clients_know_is_left_out(name: str) -> None:
    [warning] = compile_profile(BASE + f"setenv opt {name} x\n").warnings
    reason = FOREIGN[name].reason if name in FOREIGN else "OpenVPN has no such option"
    assert warning.endswith(f"(line 7) is ignored: {reason}")
    if name not in FOREIGN or FOREIGN[name].treatment is Treatment.IGNORED:
        assert compile_profile(BASE + f"{name} x\n").warnings == (warning,)
    assert warning in compile_profile(BASE + f"{name} x\nignore-unknown-option {name}\n").warnings


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_every_refusal_names_option_and_line(name: str) -> None:
    assert refusal(f"\n--{name} x").startswith(f"{name} (line 8): {REFUSED[name].reason}")


def test_not_a_client() -> None:
    assert "--client or --tls-client" in refusal("", "dev tun\nremote a\n<ca>\nx\n</ca>")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("dev tun\nremote a\nsecret static.key\n", "secret (line 3): static keys are not supported"),
        ("dev tun\nremote a\nifconfig 192.0.2.1 192.0.2.2\n<secret>\nK\n</secret>\n", "secret (line 4): static keys"),
        ("port 1194\ndev tun\nserver 192.0.2.0 255.255.255.0\n", "server (line 3): this is a server's profile"),
    ],
)
def test_what_is_there_explains_what_is_missing(text: str, said: str) -> None:
    assert refusal("", text).startswith(said)


def test_size() -> None:
    room = MAX_PROFILE - len(BASE)
    assert compile_profile(BASE + "#" * room)
    assert "larger than 4096 KiB" in refusal("#" * (room + 1), BASE)


@pytest.mark.parametrize(
    "filling",
    [
        "A" * 64 + "\n",
        "#\n" * 8,
        "route 192.0.2.1\n",
        'setenv UV_A "' + "\\\\" * 110 + '"\n',
        "<connection>\nremote a\n</connection>\n",
        "\u00e9" * 100 + "\n",
        " " * 1000,
        "'" * 200 + "\n",
    ],
)
@pytest.mark.parametrize("where", ["<ca>\n", "</ca>\n"])
def test_the_largest_profile_takes_less_than_a_second(filling: str, where: str) -> None:
    room = MAX_PROFILE - len(BASE)
    text = BASE.replace(where, where + filling * (room // len(filling.encode())))
    begin = time.process_time()
    try:
        compile_profile(text)
    except ProfileRefused:
        pass  # most of these are; they too must be refused in time
    assert time.process_time() - begin < 1


NAMES = st.sampled_from([*OPTIONS, "unknown", "--up", "<ca>", "</ca>", "setenv opt", "'up'", '"<up>"'])
WORDS = st.sampled_from(
    ["", "a", "1", "tun", "tcp", "[inline]", "stdin", "'x y'", '"\\"', "opt", "up", "# c", "\\ ", "remap-usr1", "'"]
)
PLAIN_LINES = st.tuples(NAMES, st.lists(WORDS, max_size=4)).map(lambda line: " ".join([line[0], *line[1]]))
BLOCK_LINES = st.tuples(NAMES, st.lists(PLAIN_LINES, max_size=4)).map(
    lambda block: "\n".join([f"<{block[0]}>", *block[1], f"</{block[0]}>"])
)
PROFILES = st.lists(PLAIN_LINES | BLOCK_LINES, max_size=6).map("\n".join)


@settings(max_examples=500, suppress_health_check=[HealthCheck.too_slow])
@given(PROFILES | st.text(), st.booleans())
@example("<connection>\nremote a\n<up>\nx\n</up>\n</connection>", True)
@example("\x80" * 21 + "Ā" * 28, True)
def test_nothing_forbidden_reaches_the_engine(lines: str, usable: bool) -> None:
    try:
        compiled = compile_profile(BASE + lines if usable else lines)
    except ProfileRefused:
        return
    given_to_engine = tokenize(compiled.config)
    for option in given_to_engine:
        if option.name == "connection":
            given_to_engine += tokenize(option.block or "", option.line + 1, nested=True)
        if option.name == "setenv":
            assert option.params[0][:3] in ("UV_", "IV_")
    assert {option.name for option in given_to_engine} <= set(ALLOWED)
    assert compile_profile("dev tun\n" + compiled.config).config == compiled.config
    compiled.config.encode()
    assert all(warning.isprintable() and len(warning) < 300 for warning in compiled.warnings)


@given(st.binary())
def test_any_bytes_are_compiled_or_refused(profile: bytes) -> None:
    for text in (profile, BASE.encode() + profile):
        try:
            compile_profile(text)
        except ProfileRefused as refused:
            assert str(refused).isprintable() and len(str(refused)) < 400


LATE_IMPORTS = """
import sys
from openvpn3_sessionmgr.worker.profile.compiler import compile_profile
from openvpn3_sessionmgr.worker.profile.values import ProfileRefused
before = set(sys.modules)
for text in sys.argv[1:]:
    try:
        compile_profile(text.encode("utf-8", "surrogateescape"))
    except ProfileRefused as refused:
        str(refused)
print(sorted(set(sys.modules) - before))
"""


def test_nothing_is_imported_late() -> None:
    """In the sandbox there is nothing to import from."""
    texts = [
        BASE,
        BASE + "x '\u00e9' \\x",
        BASE + "# \udcff\n<connection>\nremote a\n</connection>",
        "x \udcff",
        "cert a",
    ]
    done = subprocess.run([sys.executable, "-c", LATE_IMPORTS, *texts], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.parametrize(
    ("line", "most", "what"),
    [
        ("remote 192.0.2.1 {}\n", MAX_REMOTES, "a further remote"),
        ("<connection>\nremote 192.0.2.1 {}\n</connection>\n", MAX_REMOTES, "a further remote"),
        ("route 203.0.113.{}\n", MAX_ROUTES, "a further route"),
        ("route-ipv6 2001:db8:{}::/48\n", MAX_ROUTES, "a further route-ipv6"),
    ],
)
def test_so_many_and_no_more(line: str, most: int, what: str) -> None:
    """The engine takes a time for them that grows with the square of their number."""
    servers = "" if "remote" in line else "remote 192.0.2.1\n"
    lines = [line.format(1 + number % 200) for number in range(most + 2)]
    compiled = compile_profile("client\ndev tun\n" + servers + "".join(lines) + "<ca>\nx\n</ca>\n")
    assert len(compiled.remotes) == (1 if servers else most)
    if line.startswith("route"):
        assert len(compiled.network) == most
    else:
        assert compiled.config.count(f"\n{line.split()[0]}") == most
    [warning] = compiled.warnings
    assert warning.startswith(f"{what} (lines ") and f"{most} " in warning
    at_most = compile_profile("client\ndev tun\n" + servers + "".join(lines[:most]) + "<ca>\nx\n</ca>\n")
    assert at_most.config == compiled.config and at_most.warnings == ()


@pytest.mark.parametrize(
    ("line", "needs", "rendered"),
    [
        ("auth-user-pass pw.txt", {Need.USER_PASSWORD}, "auth-user-pass\n"),
        ("http-proxy p 1 pw.txt", {Need.PROXY_CREDENTIALS}, None),
        ("http-proxy p 1 pw.txt ntlm", {Need.PROXY_CREDENTIALS}, None),
        ("socks-proxy p 1 pw.txt", {Need.PROXY_CREDENTIALS}, None),
    ],
)
def test_what_a_file_of_credentials_holds_is_asked_for(line: str, needs: set[Need], rendered: str | None) -> None:
    """The service reads no files, but somebody can type this."""
    compiled = compile_profile(BASE.replace("udp", "tcp") + line + "\n")
    assert compiled.needs == needs
    assert "pw.txt" not in compiled.config and (rendered is None or compiled.config.endswith(rendered))
    assert [*compiled.warnings] == [
        f"{line.split()[0]} 'pw.txt' (line 7) is ignored: files are not read; what it holds is asked for"
    ]
