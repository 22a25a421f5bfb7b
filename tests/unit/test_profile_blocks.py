"""Blocks of certificates and keys: what is plainly something else is refused by name, before the engine reads it."""

import pytest

from .test_profile import KEY, config, pem, refusal


@pytest.mark.parametrize(
    ("block", "content", "said"),
    [
        ("ca", "[paste the CA here]\n", "holds no -----BEGIN CERTIFICATE-----: is this a template"),
        ("cert", "$CLIENT_CERTIFICATE\n", "holds no -----BEGIN CERTIFICATE-----"),
        ("key", "# yours\n", "holds no -----BEGIN PRIVATE KEY-----"),
        ("cert", KEY, "holds PRIVATE KEY, but no -----BEGIN CERTIFICATE-----"),
        ("key", pem("CERTIFICATE"), "holds CERTIFICATE, but no -----BEGIN PRIVATE KEY-----"),
        ("tls-crypt", pem("OpenVPN tls-crypt-v2 client key"), "holds OpenVPN tls-crypt-v2 client key, but no"),
        ("tls-auth", pem("\u202ex"), "holds '\\u202ex', but no"),
        ("ca", pem("CERTIFICATE").partition("-----END")[0], "is cut off: after -----BEGIN CERTIFICATE-----"),
        ("crl-verify", pem("CERTIFICATE"), "holds CERTIFICATE, but no -----BEGIN X509 CRL-----"),
    ],
)
def test_a_block_that_does_not_hold_what_it_should(block: str, content: str, said: str) -> None:
    assert f"{block} (line 7): {said}" in refusal(f"<{block}>\n{content}</{block}>\n")


@pytest.mark.parametrize(
    ("block", "content"),
    [
        *(("ca", pem(label)) for label in ("CERTIFICATE", "X509 CERTIFICATE", "TRUSTED CERTIFICATE")),
        *(("key", pem(label)) for label in ("PRIVATE KEY", "RSA PRIVATE KEY", "ENCRYPTED PRIVATE KEY")),
        ("cert", KEY + pem("CERTIFICATE")),
        ("tls-auth", pem("OpenVPN Static key V1")),
        ("tls-crypt-v2", pem("OpenVPN tls-crypt-v2 client key")),
        ("crl-verify", pem("X509 CRL")),
        ("pkcs12", "AAAA\n"),
    ],
)
def test_a_block_that_holds_what_it_should(block: str, content: str) -> None:
    text = f"<{block}>\n{content}</{block}>\n"
    assert config(text) == text
