"""Who may call what: the caller as the bus identifies it, and the rules that a row of an interface table names."""

from enum import Enum

import msgspec

# Debian's and upstream's name for the account of the OpenVPN 3 Linux services.
SERVICE_ACCOUNTS = ("_openvpn", "openvpn")


class Caller(msgspec.Struct, frozen=True):
    """A connection on the bus, identified by the bus daemon."""

    name: str  # unique bus name, ":1.42"; empty where the service does something for a user by itself
    uid: int


class Acl(msgspec.Struct):
    """The owner of an object, and who else has access to it."""

    owner: int
    granted: set[int] = set()
    public: bool = False

    @property
    def granted_uids(self) -> list[int]:
        """The granted users in the order of their numbers."""
        return sorted(self.granted)


def listed_for(uid: int, acl: Acl) -> bool:
    """Whether a user finds an object among those offered to them: owner, granted users, everybody if it is public.

    Root is not special: openvpn3-systemd, which runs as root, would stop somebody else's session of the same name.
    """
    return acl.public or uid == acl.owner or uid in acl.granted


def is_user(uid: int, acl: Acl) -> bool:
    """Whether a user may use an object: owner, granted users, root."""
    return uid in (0, acl.owner) or uid in acl.granted


def sees(caller: Caller, acl: Acl | None, service_uid: int) -> bool:
    """Whether a caller is shown that an object is there; as READERS, and everybody what belongs to nobody."""
    if acl is None or acl.public:
        return True
    return caller.uid in (acl.owner, 0, service_uid) or caller.uid in acl.granted


def is_guest(uid: int, acl: Acl) -> bool:
    """Whether a user who may use an object is neither its owner nor root: bounds on all guests together spare those."""
    return uid not in (0, acl.owner)


class Who(Enum):
    """The rule in the `who` column of an interface table."""

    ANYBODY = "anybody on the bus"
    READERS = "owner, granted users, root; everybody if the object is public"
    USERS = "owner, granted users, root"
    HOLDERS = "owner, granted users, the account the services run as; not root"
    OWNER = "owner only"
    ROOT = "root only"
    SERVICE = "the account the services run as"


def permitted(who: Who, caller: Caller, acl: Acl | None, service_uid: int) -> bool:
    """Whether `caller` satisfies `who` on an object with `acl` (None: the object belongs to nobody).

    `service_uid` is the account the services run as; it may read what owners may read, since the
    services of OpenVPN 3 Linux read each other's objects.
    """
    match who:
        case Who.ANYBODY:
            return True
        case Who.ROOT:
            return caller.uid == 0
        case Who.SERVICE:
            return caller.uid == service_uid
        case _ if acl is None:
            return False
        case Who.OWNER:
            return caller.uid == acl.owner
        case Who.USERS:
            return is_user(caller.uid, acl)
        case Who.HOLDERS:
            return caller.uid in (acl.owner, service_uid) or caller.uid in acl.granted
        case Who.READERS:
            return acl.public or caller.uid in (0, acl.owner, service_uid) or caller.uid in acl.granted
