"""What sessions use of the rest of the supervisor."""

import msgspec

from ...policy.profile.pkcs11 import ListedProvider
from ..dns.lookups import Lookups
from ..dns.names import Names
from ..logging.log import Log
from ..network.apply import Network
from ..rights import Rights
from ..workers.lookout import Lookout
from ..workers.reap import Reaper
from ..workers.spawner_client import SpawnerClient
from .counting import Patience
from .forwarding import Forwarder
from .journal import SessionJournal
from .uids import UserIds


class SessionContext(msgspec.Struct, frozen=True):
    """The same for all sessions; those that are started later may have other ones of the last two."""

    log: Log
    network: Network
    names: Names
    lookups: Lookups
    rights: Rights
    spawner: SpawnerClient
    reaper: Reaper
    lookout: Lookout
    patience: Patience
    user_ids: UserIds
    journal: SessionJournal
    forwarder: Forwarder
    providers: tuple[ListedProvider, ...]  # of PKCS#11
    lacks: list[str]  # what the service cannot do at present
    descriptors: int  # files that the service may have open
    stopped_grace: float  # seconds that processes may be stopped (SIGSTOP), 0 for ever
    connect_deadline: float  # seconds from Connect to the first connection
    full_titles: bool  # titles of sessions' processes have the names of profile and owner
