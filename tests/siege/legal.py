"""What everybody may do, and attackers do all the time."""

from dbus_fast import Message, MessageType, Variant

from ...policy.profile.overrides import OVERRIDES
from ..lab.connection import CONFIGURATION, CONFIGURATION_PATH, LOG, LOG_PATH, SESSIONS, SESSIONS_PATH
from . import profiles
from .attacker import Attacker, outcome, service_of

_PROPERTIES = "org.freedesktop.DBus.Properties"
_INTROSPECTABLE = "org.freedesktop.DBus.Introspectable"
_INSPECTION = SESSIONS + ".inspect"
_ROOTS = (CONFIGURATION_PATH, SESSIONS_PATH, LOG_PATH, "/net/openvpn/v3/backends", "/net/openvpn/v3/netcfg", "/")


# Profiles


def _import(attacker: Attacker, text: str) -> str:
    choose = attacker.random
    name = choose.choice(("work", f"p{choose.randrange(1000)}", "日本", "n" * 300, ""))
    flags = (choose.random() < 0.1, choose.random() < 0.1)
    reply = attacker.ask(CONFIGURATION_PATH, CONFIGURATION, "Import", "ssbb", name, text, *flags)
    if reply is not None and reply.message_type is MessageType.METHOD_RETURN:
        attacker.profiles.append(reply.body[0])
    return outcome(reply)


def import_profile(attacker: Attacker) -> str:
    kind = attacker.random.choice([kind for kind in profiles.KINDS if kind.__name__ not in attacker.orders.without])
    return f"{kind.__name__}: {_import(attacker, kind(attacker.random, attacker.orders.texts))}"


def import_large(attacker: Attacker) -> str:
    kind = attacker.random.choice((profiles.large, profiles.too_large))
    return f"{kind.__name__}: {_import(attacker, kind(attacker.random, attacker.orders.texts))}"


def fetch(attacker: Attacker) -> str:
    member = attacker.random.choice(("Fetch", "FetchJSON", "Validate"))
    return f"{member}: {attacker.tell(attacker.profile(), CONFIGURATION, member)}"


def list_things(attacker: Attacker) -> str:
    path, interface, member, *arguments = attacker.random.choice(
        (
            (CONFIGURATION_PATH, CONFIGURATION, "FetchAvailableConfigs"),
            (CONFIGURATION_PATH, CONFIGURATION, "LookupConfigName", "work"),
            (CONFIGURATION_PATH, CONFIGURATION, "SearchByTag", "a"),
            (CONFIGURATION_PATH, CONFIGURATION, "SearchByOwner", str(attacker.random.choice(attacker.orders.uids))),
            (SESSIONS_PATH, SESSIONS, "FetchAvailableSessions"),
            (SESSIONS_PATH, SESSIONS, "FetchManagedInterfaces"),
            (SESSIONS_PATH, SESSIONS, "LookupConfigName", "work"),
            (SESSIONS_PATH, SESSIONS, "LookupInterface", f"tun{attacker.random.randrange(20)}"),
        )
    )
    return f"{member}: {attacker.tell(path, interface, member, 's' * len(arguments), *arguments)}"


def override(attacker: Attacker) -> str:
    choose = attacker.random
    name = choose.choice(sorted(OVERRIDES))
    if choose.random() < 0.3:
        return attacker.tell(attacker.profile(), CONFIGURATION, "UnsetOverride", "s", name)
    value = choose.choice(
        (Variant("b", True), Variant("s", "x"), Variant("s", "1194"), Variant("s", "udp"), Variant("i", 1))
    )
    return f"{name}: {attacker.tell(attacker.profile(), CONFIGURATION, 'SetOverride', 'sv', name, value)}"


def tag(attacker: Attacker) -> str:
    choose = attacker.random
    member = choose.choice(("AddTag", "AddTag", "RemoveTag"))
    return attacker.tell(
        attacker.profile(), CONFIGURATION, member, "s", choose.choice(("a", "b" * 100, f"t{choose.randrange(50)}"))
    )


def share(attacker: Attacker) -> str:
    choose = attacker.random
    path = choose.choice((attacker.profile, attacker.session))()
    member = choose.choice(("AccessGrant", "AccessGrant", "AccessRevoke"))
    uid = choose.choice((*attacker.orders.uids, 0, 4_294_967_295, choose.randrange(70_000)))
    return f"{member}: {attacker.tell(path, service_of(path), member, 'u', uid)}"


def set_profile(attacker: Attacker) -> str:
    choose = attacker.random
    name = choose.choice(("name", "locked_down", "public_access", "transfer_owner_session", "dco"))
    value = Variant("s", f"p{choose.randrange(100)}") if name == "name" else Variant("b", choose.random() < 0.5)
    return f"{name}: {attacker.tell(attacker.profile(), _PROPERTIES, 'Set', 'ssv', CONFIGURATION, name, value)}"


def set_often(attacker: Attacker) -> str:
    path = attacker.profile()
    calls = [
        Message(
            CONFIGURATION,
            path,
            _PROPERTIES,
            "Set",
            signature="ssv",
            body=[CONFIGURATION, "dco", Variant("b", bool(n % 2))],
        )
        for n in range(100)
    ]
    return attacker.shout(*calls)


def seal(attacker: Attacker) -> str:
    return attacker.tell(attacker.profile(), CONFIGURATION, "Seal")


def remove(attacker: Attacker) -> str:
    return attacker.tell(attacker.profile(), CONFIGURATION, "Remove")


def remove_many(attacker: Attacker) -> str:
    """What keeps the profiles from being at the end of the quota all the time."""
    if len(attacker.profiles) < 40:
        return "few"
    attacker.random.shuffle(attacker.profiles)
    calls = [Message(CONFIGURATION, path, CONFIGURATION, "Remove") for path in attacker.profiles[20:]]
    return attacker.shout(*calls[:100])


# Sessions


def new_tunnel(attacker: Attacker) -> str:
    if attacker.has_sessions_enough:
        return end(attacker)
    reply = attacker.ask(SESSIONS_PATH, SESSIONS, "NewTunnel", "o", attacker.profile())
    if reply is None or reply.message_type is MessageType.ERROR:
        return outcome(reply)
    attacker.sessions.append(reply.body[0])
    return attacker.tell(reply.body[0], SESSIONS, attacker.random.choice(("Connect", "Connect", "Ready", "Disconnect")))


def new_tunnels_at_once(attacker: Attacker) -> str:
    if attacker.has_sessions_enough:
        return "enough"
    path = attacker.profile()
    return attacker.shout(
        *(Message(SESSIONS, SESSIONS_PATH, SESSIONS, "NewTunnel", signature="o", body=[path]) for _ in range(8))
    )


def steer(attacker: Attacker) -> str:
    member = attacker.random.choice(("Connect", "Connect", "Pause", "Resume", "Restart", "Ready"))
    path = attacker.session()
    if member == "Pause":
        return (
            f"Pause: {attacker.tell(path, SESSIONS, 'Pause', 's', attacker.random.choice(('lunch', '', 'x' * 3000)))}"
        )
    return f"{member}: {attacker.tell(path, SESSIONS, member)}"


def steer_in_a_hurry(attacker: Attacker) -> str:
    path = attacker.session()
    calls = []
    for _ in range(30):
        member = attacker.random.choice(("Connect", "Pause", "Resume", "Restart"))
        arguments = ["now"] if member == "Pause" else []
        calls.append(Message(SESSIONS, path, SESSIONS, member, signature="s" * len(arguments), body=arguments))
    return attacker.shout(*calls)


def end(attacker: Attacker) -> str:
    return attacker.tell(attacker.session(), SESSIONS, "Disconnect")


def forward(attacker: Attacker) -> str:
    """Follow a session's log, on whatever connection: also one that does not read."""
    path = attacker.session()
    enable = attacker.random.random() < 0.8
    return attacker.shout(Message(SESSIONS, path, SESSIONS, "LogForward", signature="b", body=[enable]))


def set_session(attacker: Attacker) -> str:
    choose = attacker.random
    name, value = choose.choice(
        (
            ("log_verbosity", Variant("u", choose.randrange(9))),
            ("public_access", Variant("b", choose.random() < 0.5)),
            ("restrict_log_access", Variant("b", choose.random() < 0.5)),
            ("dco", Variant("b", choose.random() < 0.5)),
        )
    )
    return f"{name}: {attacker.tell(attacker.session(), _PROPERTIES, 'Set', 'ssv', SESSIONS, name, value)}"


def user_input(attacker: Attacker) -> str:
    choose = attacker.random
    path = attacker.session()
    kind, group, number = choose.choice(((1, 1, 0), (1, 1, 1), (1, 4, 0), (1, 3, 0), (2, 7, 1000), (9, 9, 9)))
    match choose.randrange(4):
        case 0:
            return attacker.tell(path, SESSIONS, "UserInputQueueGetTypeGroup")
        case 1:
            return attacker.tell(path, SESSIONS, "UserInputQueueCheck", "uu", kind, group)
        case 2:
            return attacker.tell(path, SESSIONS, "UserInputQueueFetch", "uuu", kind, group, number)
    text = choose.choice(("bob", "secret", "", "x" * 300, "y" * 120_000, "\n\r", "日本"))
    return attacker.tell(path, SESSIONS, "UserInputProvide", "uuus", kind, group, number, text)


# Whatever there is


def _any_path(attacker: Attacker) -> str:
    return attacker.random.choice((attacker.profile(), attacker.session(), attacker.random.choice(_ROOTS)))


def look(attacker: Attacker) -> str:
    choose = attacker.random
    path = _any_path(attacker)
    interface = choose.choice((service_of(path) or SESSIONS, _INSPECTION))
    if choose.random() < 0.5:
        return f"GetAll: {attacker.tell(path, _PROPERTIES, 'GetAll', 's', interface)}" if path != "/" else "root"
    name = choose.choice(("status", "owner", "version", "name", "statistics", "log_forwards", "processes", "nothing"))
    return f"Get {name}: {attacker.tell(path, _PROPERTIES, 'Get', 'ss', interface, name)}" if path != "/" else "root"


def introspect(attacker: Attacker) -> str:
    path = _any_path(attacker)
    line = attacker.reader()
    reply = line.call(service_of(path) if path != "/" else SESSIONS, path, _INTROSPECTABLE, "Introspect")
    return f"{path}: {outcome(reply)}"


def transfer(attacker: Attacker) -> str:
    path = _any_path(attacker)
    uid = attacker.random.choice(attacker.orders.uids)
    root = CONFIGURATION_PATH if path.startswith(CONFIGURATION_PATH) else SESSIONS_PATH
    return attacker.tell(root, service_of(root), "TransferOwnership", "ou", path, uid)


def log_service(attacker: Attacker) -> str:
    member, signature, *arguments = attacker.random.choice(
        (
            ("Attach", "s", "net.openvpn.v3.backends"),
            ("ProxyLogEvents", "so", ":1.1", SESSIONS_PATH),
            ("GetSubscriberList", ""),
        )
    )
    return f"{member}: {attacker.tell(LOG_PATH, LOG, member, signature, *arguments)}"
