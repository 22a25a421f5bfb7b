"""Every member of the four objects with its type, as OpenVPN 3 Linux 24 and 27 introspect."""

# Methods: what they take → what they give.
ROOT = """
NewTunnel(o)→o
FetchAvailableSessions()→ao
FetchManagedInterfaces()→as
LookupConfigName(s)→ao
LookupInterface(s)→o
signal Log(uus)
signal SessionManagerEvent(oqu)
read version s
"""

SESSION = """
Ready()→
Connect()→
Restart()→
Pause(s)→
Resume()→
Disconnect()→
AccessGrant(u)→
AccessRevoke(u)→
LogForward(b)→
UserInputQueueGetTypeGroup()→a(uu)
UserInputQueueFetch(uuu)→uuussb
UserInputQueueCheck(uu)→au
UserInputProvide(uuus)→
signal AttentionRequired(uus)
signal Log(uus)
signal StatusChange(uus)
read acl au
read backend_pid u
read config_name s
read config_path o
read connected_to (ssu)
readwrite dco b
read device_name s
read device_path s
read last_log a{sv}
read log_forwards ao
readwrite log_verbosity u
read owner u
readwrite public_access b
readwrite restrict_log_access b
read session_created t
read session_name s
read statistics a{sx}
read status (uus)
"""

CONFIGURATION_ROOT = """
Import(ssbb)→o
FetchAvailableConfigs()→ao
LookupConfigName(s)→ao
SearchByTag(s)→ao
SearchByOwner(s)→ao
TransferOwnership(ou)→
signal ConfigurationManagerEvent(oqu)
signal Log(uus)
read version s
"""

PROFILE = """
Validate()→
Fetch()→s
FetchJSON()→s
SetOption(ss)→
SetOverride(sv)→
UnsetOverride(s)→
AddTag(s)→
RemoveTag(s)→
AccessGrant(u)→
AccessRevoke(u)→
Seal()→
Remove()→
read acl au
readwrite dco b
read import_timestamp t
read last_used_timestamp t
readwrite locked_down b
readwrite name s
read overrides a{sv}
read owner u
read persistent b
readwrite public_access b
read readonly b
read single_use b
read tags as
readwrite transfer_owner_session b
read used_count u
read valid b
"""

STANDARD = {
    "org.freedesktop.DBus.Properties": {
        "Get(ss)→v",
        "GetAll(s)→a{sv}",
        "Set(ssv)→",
        "signal PropertiesChanged(sa{sv}as)",
    },
    "org.freedesktop.DBus.Introspectable": {"Introspect()→s"},
    "org.freedesktop.DBus.Peer": {"Ping()→", "GetMachineId()→s"},
}


def listed(text: str) -> set[str]:
    """The members of a table."""
    return set(text.strip().splitlines())


def property_types(text: str) -> dict[str, str]:
    """The properties of a table with their types."""
    rows = (row.split() for row in listed(text) if row.startswith("read"))
    return {name: kind for _, name, kind in rows}
