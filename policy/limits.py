"""Every limit in one place: sizes in bytes, times in seconds."""

# Sizes
MAX_PROFILE = 4 * 1024 * 1024  # a profile with its embedded certificates
MAX_PROFILE_NAME = 255  # characters of a profile's name
MAX_FRAME = 64 * 1024  # one IPC message; the profile travels in a memfd instead
MAX_LOG_LINE = 2048  # one log line of a worker or engine; longer ones are cut
MAX_STATUS_TEXT = 512  # text of a public status
MAX_ADDRESSES = 8  # of one session's device
MAX_ROUTES = 1024  # of one session
MAX_RESOLVED = 32  # addresses kept of one name
MAX_BUS_MESSAGE = 32 * 1024 * 1024  # what a system bus accepts; more, and it closes the connection
MAX_SMALL_BODY = 4 * 1024  # of a message's arguments: read whatever they are; larger ones only where a row admits them
MAX_HEADER = 64 * 1024  # of a message whose header is looked at
MAX_PASTED_ANSWER = 128 * 1024  # arguments of UserInputProvide: whoever pastes too much is told so in its own words
MAX_IMPORT = MAX_PROFILE + 64 * 1024  # arguments of Import
MAX_LARGE_REPLY_BODY = MAX_PROFILE + 64 * 1024  # a reply to a call of ours
MAX_PLAIN_SIGNAL = 64 * 1024  # a signal of plain values
BUS_BACKLOG_SOFT = 1024 * 1024  # outgoing queue from which signals that may be lost are dropped
BUS_BACKLOG_HARD = 64 * 1024 * 1024  # outgoing queue from which nothing more is queued, until the bus takes some of it

# Sent, and not read by its receivers.  dbus-daemon stops reading a connection when so much of what it sent is unread
# that it exceeds max_incoming_bytes, 127 MiB by default: all users together stay below half of that.
MAX_UNREAD_BYTES = 56 * 1024 * 1024  # of which a user may hold as much as is left free, and not more than
MAX_UNREAD_PER_USER = 14 * 1024 * 1024
UNREAD_HARD = 62 * 1024 * 1024  # of all users, with their minimum shares and refusals
MIN_UNREAD_SHARE = 32 * 1024  # of each user, however much others hold
UNREAD_REFUSALS = 4 * 1024  # beyond that, in errors which say so: of each user, and of each connection that reads
UNREAD_PER_CALL = 16 * 1024  # room that there must be before a call is run
LARGE_REPLY = 64 * 1024  # a reply whose size is looked at before it is marshalled
MAX_LARGE_REPLIES = 4  # of one user, made and waiting until there is room for them
UNREAD_LOOK = 256 * 1024  # sent to a user's connections since the bus was asked what they have read: it is asked again
MAX_UNREAD_SIGNALS = 1024 * 1024  # unread by one connection, beyond which it gets no signals of its own
MAX_INPUT = 255  # one thing a user types; a parameter of the engine's management commands holds no more
MAX_PENDING_INPUT = MAX_INPUT // 4 * 3  # the same, where base64 makes four bytes of three
MAX_URL = 4096  # of web authentication

# Counts
MAX_SLOTS = 1000  # questions of one kind over the life of a session
MAX_SESSIONS = 200
MAX_SESSIONS_PER_USER = 50
MAX_PROFILES_PER_USER = 500
MAX_CALLS_PER_SENDER = 1024  # calls of one connection waiting to be run; beyond: LimitsExceeded
MAX_CALLS_PER_USER = 2048  # the same of all connections of a user; beyond: LimitsExceeded
MIN_CALLS_PER_SENDER = 8  # that may wait all the same, of each connection
MAX_LARGE_CALLS = 4  # of those, with arguments above MAX_SMALL_BODY; beyond: LimitsExceeded
MAX_UNDER_WAY = 4  # calls of one user that take time, run at once; beyond: they wait for each other
MAX_HELD_CALLS = 4096  # calls that came before the service was ready
MAX_ACCOUNT_LOOKUPS = 8  # under way at once; a directory that does not answer holds each for long
MAX_LOOKUPS_PER_SESSION = 2  # names being resolved at once
MAX_WATCHERS = 64  # connections that hear of one session's progress
MAX_FORWARDS = 16  # log forwards of one session; each line is sent to each
MAX_UNREAD = 10  # tries, a second apart, to send log lines to a connection that reads nothing: its forward ends then
MAX_GRANTED_USERS = 200  # that a session is shared with
MAX_ATTACHED = 64  # other services that log through this one
LOG_LINES_OF_USER = 200  # log lines that one user's calls and sessions cause at once; beyond: left out, and counted
LOG_LINES_A_SECOND = 20  # that such a user gets back; so many are written for ever
MORE_LOG_LINES = 10  # times as many of both, where an administrator asks for more than the default level
LOG_CREDIT = 200  # log lines a worker may have under way
MAX_WORKER_FRAMES = 1000  # messages of one worker in a second, log lines included
MAX_WORKER_REPORTS = 32  # changes of the engine's course that a worker reports in a second without being asked

# Deadlines of the phases of a session
SPAWN_DEADLINE = 2.0  # request to the spawner → a worker process
ACCOUNT_DEADLINE = 1.0  # the name or number of an account, which may be in a directory far away
VERDICT_DEADLINE = 4.0  # session begun → profile accepted and engine held; D-Bus clients give up after 5 s
CONNECT_DEADLINE = 120.0  # hold released → tunnel up, or the session fails
NETWORK_DEADLINE = 10.0  # settings asked for → in place
RESOLVE_DEADLINE = 10.0  # one name look-up
PAUSE_DEADLINE = 5.0  # traffic to be stopped → the engine holds
WORKER_GRACE = 3.0  # what the supervisor adds to a deadline that the worker keeps too
GOODBYE_DEADLINE = 5.0  # SIGTERM to the engine → gone, or it is killed
FAILED_READABLE = 10.0  # a failed session's object stays on the bus this long
PROFILE_DEADLINE = 4.0  # a profile asked for from another configuration service → here, with all its properties
LEAVING_DEADLINE = 5.0  # calls that came before the service ends → answered
BUS_CALL_DEADLINE = 10.0  # a call to another service → its reply
BUS_SLOW = 10.0  # the bus takes nothing of what waits → the log says so
BUS_STALLED = 600.0  # the same → the bus counts as gone

# Starting a session again whose worker or engine died; as OpenVPN 3 Linux does.
MAX_RESTARTS = 10  # without having been connected for RESTART_FORGOTTEN meanwhile
RESTART_PAUSE = 3.0  # before the first try; twice as long before each further one
MAX_RESTART_PAUSE = 768.0
RESTART_FORGOTTEN = 90.0  # connected for this long, and earlier tries do not count

# User ids of sessions: a range that systemd's table of user ids leaves unassigned.
SESSION_UIDS = range(60706, 61184)
