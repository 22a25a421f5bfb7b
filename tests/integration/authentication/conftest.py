"""A key on a token for the tests of PKCS#11."""

import pytest

from openvpn3_sessionmgr.tests.lab.lab import Lab
from openvpn3_sessionmgr.tests.lab.tokens import Token
from openvpn3_sessionmgr.tests.support.token_sessions import PIN


@pytest.fixture
def token(lab: Lab) -> Token:
    """A token with alice's key on it."""
    return lab.tokens.add("alice", PIN, lab.pki.client)
