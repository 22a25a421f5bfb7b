"""The two kinds of object of net.openvpn.v3.configuration: the root, and a configuration profile."""

from ...policy.access import Who
from ...policy.limits import MAX_IMPORT
from ...policy.profile.overrides import OVERRIDES
from .interface import Interface, Method, Property, Signal

BUS_NAME = "net.openvpn.v3.configuration"
ROOT_PATH = "/net/openvpn/v3/configuration"

_OVERRIDES = ", ".join(
    f"`{name}` ({' / '.join(row.values) or ('true / false' if row.type == 'b' else 'text')})"
    for name, row in OVERRIDES.items()
)

CONFIGURATION = Interface(
    name="net.openvpn.v3.configuration",
    title="Configuration manager",
    methods=(
        Method(
            "Import",
            takes="name:s config_str:s single_use:b persistent:b",
            gives="config_path:o",
            who=Who.ANYBODY,
            doc="Store a profile with everything embedded that it refers to; the caller owns it. `single_use`: "
            "removed by its first session. `persistent`: kept across reboots.",
            secret=True,
            largest=MAX_IMPORT,
        ),
        Method(
            "FetchAvailableConfigs",
            takes="",
            gives="paths:ao",
            who=Who.ANYBODY,
            doc="The profiles that the caller may use.",
        ),
        Method(
            "LookupConfigName",
            takes="config_name:s",
            gives="config_paths:ao",
            who=Who.ANYBODY,
            doc="The profiles of this name that the caller may use; empty if none.",
        ),
        Method(
            "SearchByTag",
            takes="tag:s",
            gives="paths:ao",
            who=Who.ANYBODY,
            doc="The profiles with this tag that the caller may use; empty if none.",
        ),
        Method(
            "SearchByOwner",
            takes="owner:s",
            gives="paths:ao",
            who=Who.ANYBODY,
            doc="The profiles of this user (name or number) that the caller may use; empty if none, or no such user.",
        ),
        Method(
            "TransferOwnership",
            takes="path:o new_owner_uid:u",
            gives="",
            who=Who.ROOT,
            doc="Give a profile to another user; it stays shared with the same users.",
        ),
    ),
    properties=(
        Property(
            "version",
            "s",
            who=Who.ANYBODY,
            doc="Version of this service; clients tell from it what the service can do.",
        ),
    ),
    signals=(
        Signal(
            "ConfigurationManagerEvent",
            takes="path:o type:q owner:u",
            doc="Broadcast. A profile was created (1) or removed (2); `owner` is its owner's user id.",
        ),
        Signal(
            "Log",
            takes="group:u level:u message:s",
            doc="Declared as in the original; never sent, since this process is the log service.",
        ),
    ),
)

PROFILE_DENIED = "Access to the configuration profile is denied."

PROFILE = Interface(
    name="net.openvpn.v3.configuration",
    title="Configuration profile",
    denied=PROFILE_DENIED,
    denied_setting="Configuration can only be modified by the profile owner",
    methods=(
        Method(
            "Validate",
            takes="",
            gives="",
            who=Who.READERS,
            doc="Succeeds if a session can be started with the profile; the error says what is wrong.",
        ),
        Method(
            "Fetch",
            takes="",
            gives="config:s",
            who=Who.HOLDERS,
            doc="The text of the profile, as it was imported; of one that is locked down, for its owner and the "
            "services only.",
        ),
        Method(
            "FetchJSON",
            takes="",
            gives="config_json:s",
            who=Who.HOLDERS,
            doc="The options of the profile as JSON, for the same callers: by name null, a list of parameters, "
            "or a list of such.",
        ),
        Method(
            "SetOption",
            takes="option:s value:s",
            gives="",
            who=Who.OWNER,
            doc="Without effect, as in the original.",
        ),
        Method(
            "SetOverride",
            takes="name:s value:v",
            gives="",
            who=Who.OWNER,
            doc="Replace a setting of the profile, for sessions started later: " + _OVERRIDES + ". An empty text is "
            "the same as no override.",
        ),
        Method(
            "UnsetOverride",
            takes="name:s",
            gives="",
            who=Who.OWNER,
            doc="Remove an override.",
        ),
        Method("AddTag", takes="tag:s", gives="", who=Who.OWNER, doc="Add a tag, of up to 128 bytes."),
        Method("RemoveTag", takes="tag:s", gives="", who=Who.OWNER, doc="Remove a tag."),
        Method(
            "AccessGrant",
            takes="uid:u",
            gives="",
            who=Who.OWNER,
            doc="Let another user use the profile.",
        ),
        Method(
            "AccessRevoke",
            takes="uid:u",
            gives="",
            who=Who.OWNER,
            doc="Undo AccessGrant.",
        ),
        Method(
            "Seal",
            takes="",
            gives="",
            who=Who.OWNER,
            doc="Make the profile read-only, permanently; it can still be removed, and given to another user by root.",
        ),
        Method("Remove", takes="", gives="", who=Who.OWNER, doc="Remove the profile."),
    ),
    properties=(
        Property("owner", "u", Who.ANYBODY, "User id of the owner.", attribute="acl.owner"),
        Property("acl", "au", Who.READERS, "User ids that were granted access.", attribute="acl.granted_uids"),
        Property(
            "name",
            "s",
            Who.READERS,
            "Name of the profile.",
            writable_by=Who.OWNER,
        ),
        Property("import_timestamp", "t", Who.READERS, "When it was imported, in seconds since 1970."),
        Property("last_used_timestamp", "t", Who.READERS, "When a session last used it, in seconds since 1970."),
        Property("used_count", "u", Who.READERS, "How many sessions have used it."),
        Property("single_use", "b", Who.READERS, "Whether its first session removes it."),
        Property("persistent", "b", Who.READERS, "Whether it is kept across reboots."),
        Property(
            "locked_down",
            "b",
            Who.READERS,
            "Whether users that it is shared with may use it, but not read its text.",
            writable_by=Who.OWNER,
        ),
        Property(
            "public_access",
            "b",
            Who.READERS,
            "Whether everybody may use it and read its properties, but not its text.",
            writable_by=Who.OWNER,
            attribute="acl.public",
        ),
        Property(
            "transfer_owner_session",
            "b",
            Who.READERS,
            "Whether a session belongs to the profile's owner, whoever starts it.",
            writable_by=Who.OWNER,
        ),
        Property("readonly", "b", Who.READERS, "Whether it is sealed."),
        Property("valid", "b", Who.READERS, "Whether Validate succeeds."),
        Property(
            "dco",
            "b",
            Who.READERS,
            "Whether data channel offload is used: always false, and cannot be set to true.",
            writable_by=Who.OWNER,
        ),
        Property("tags", "as", Who.READERS, "Its tags."),
        Property("overrides", "a{sv}", Who.READERS, "Its overrides, the password of a proxy among them."),
    ),
)
