"""Every limit in one place: sizes in bytes unless it says characters, times in seconds.

A limit's comment says what it bounds, and after "beyond:" what happens then; docs/SECURITY.md has a table of them
(packaging/limits_doc.py).
"""

# Profiles and what users type

MAX_PROFILE = 4 * 1024 * 1024  # a profile with its embedded certificates; beyond: Import is refused
MAX_PROFILE_NAME = 255  # characters of a profile's name; beyond: it is refused
MAX_PROFILES_PER_USER = 500  # profiles of one owner; beyond: Import is refused until one is removed
# bytes of one thing a user types, as much as the engine's management takes; beyond: UserInputProvide is refused
MAX_INPUT = 255
# the same, where base64 makes four bytes of three; beyond: UserInputProvide is refused
MAX_PENDING_INPUT = MAX_INPUT // 4 * 3

# Sessions

MAX_SESSIONS = 200  # sessions of all users; beyond: NewTunnel is refused until one has ended
MAX_SESSIONS_PER_USER = 50  # sessions of one user; beyond: NewTunnel is refused until one has ended
MAX_WATCHERS = 64  # connections that hear of one session's progress; beyond: the oldest hears no more
MAX_FORWARDS = 16  # log forwards of one session; beyond: LogForward is refused
MAX_UNREAD = 10  # tries, a second apart, to send log lines to a connection that reads nothing; beyond: its forward ends
MAX_GRANTED_USERS = 200  # users that a session is shared with; beyond: AccessGrant is refused
MAX_ATTACHED = 64  # other services that log through this one; beyond: Attach is refused
# user ids of sessions, a range that systemd's table leaves unassigned; beyond: NewTunnel is refused
SESSION_UIDS = range(60706, 61184)

# What a worker or engine says

MAX_FRAME = 64 * 1024  # one message between processes; beyond: its sender is killed, its session fails
MAX_LOG_LINE = 2048  # characters of one line of the log; beyond: it is cut
MAX_STATUS_TEXT = 512  # characters of a public status; beyond: it is cut
MAX_URL = 4096  # characters of a page for web authentication; beyond: the login fails
MAX_ADDRESSES = 8  # addresses of one session's device; beyond: the session fails
# routes of one session, which an engine takes a time to list that grows with the square of their number;
# beyond: the worker leaves out the rest, and says so
MAX_ROUTES = 1024
MAX_REMOTES = 1024  # servers of one profile, for the same reason; beyond: the rest is left out, and the log says so
MAX_SLOTS = 1000  # questions of one kind over the life of a session; beyond: it fails
MAX_QUESTION = 4608  # characters of one question to a user; beyond: its worker is killed, the session fails
MAX_BYTES = 2**62 - 1  # counted in one direction; beyond: the counter stands still
MAX_LOOKUPS_PER_SESSION = 2  # names being looked up at once; beyond: its worker is killed, it fails
MAX_RESOLVED = 32  # addresses of one name; beyond: the rest is left out
LOG_CREDIT = 200  # log lines of a worker in a second; beyond: it drops and counts them itself, or is killed
LOG_LINES_OF_USER = 200  # log lines that one user's calls and sessions cause at once; beyond: left out, and counted
LOG_LINES_A_SECOND = 20  # such lines that a user gets back in a second; beyond: left out, and counted
MORE_LOG_LINES = 10  # times as many of both, where --log-level is more than the default; beyond: left out, and counted
MAX_WORKER_FRAMES = 1000  # messages of one worker in a second, log lines included; beyond: it is killed
# reports of the engine's course in a second that nobody asked for; beyond: the worker is killed, its session fails
MAX_WORKER_REPORTS = 32
MAX_ENGINE_REPORTS = 16  # of these that engine and server bring about; beyond: the session fails

# Messages on the bus

MAX_BUS_MESSAGE = 32 * 1024 * 1024  # what a system bus accepts; beyond: it closes the connection, so nothing is sent
# a message's arguments, read whatever they are; beyond: refused, but for those that follow here
MAX_SMALL_BODY = 4 * 1024
MAX_HEADER = 64 * 1024  # a header that is looked at; beyond: the message is thrown away
# arguments of UserInputProvide, so that whoever pastes too much is told in its own words; beyond: refused unread
MAX_PASTED_ANSWER = 128 * 1024
MAX_IMPORT = MAX_PROFILE + 64 * 1024  # arguments of Import; beyond: refused unread
MAX_LARGE_REPLY_BODY = MAX_PROFILE + 64 * 1024  # a reply to a call of ours; beyond: it is thrown away, the call fails
MAX_PLAIN_SIGNAL = 64 * 1024  # a signal of plain values; beyond: it is thrown away
MAX_CALLS_PER_SENDER = 256  # calls of one connection waiting to be run; beyond: LimitsExceeded
MAX_HELD_CALLS = 4096  # calls that came before the service was ready; beyond: LimitsExceeded
# accounts looked up at once, since a directory that does not answer holds each for long; beyond: as ACCOUNT_DEADLINE
MAX_ACCOUNT_LOOKUPS = 8

# Sent, and not read by its receivers

# dbus-daemon stops reading a connection when so much of what it sent is unread that it exceeds max_incoming_bytes,
# 127 MiB by default: all users together stay below half of that.

MAX_UNREAD_BYTES = 56 * 1024 * 1024  # unread by all users together; beyond: LimitsExceeded, but for a small share each
MAX_UNREAD_PER_USER = 14 * 1024 * 1024  # unread by one user; beyond: LimitsExceeded
UNREAD_HARD = 62 * 1024 * 1024  # unread by all, with their small shares and refusals; beyond: no answer
MIN_UNREAD_SHARE = 32 * 1024  # unread by one user, however much others hold; beyond: LimitsExceeded
# errors that say so, unread by each user and by each connection that reads; beyond: no answer
UNREAD_REFUSALS = 4 * 1024
UNREAD_PER_CALL = 16 * 1024  # room that there must be before a call is run; beyond: it waits, then LimitsExceeded
LARGE_REPLY = 64 * 1024  # a reply that is marshalled without a look at its size; beyond: it is charged before
MAX_LARGE_REPLIES = 4  # replies to one user, made and waiting for room; beyond: LimitsExceeded
UNREAD_LOOK = 256 * 1024  # sent to a user's connections; beyond: the bus is asked what they have read
MAX_UNREAD_SIGNALS = 1024 * 1024  # unread by one connection; beyond: it gets no signals of its own
BUS_BACKLOG_SOFT = 1024 * 1024  # our own outgoing queue; beyond: signals that may be lost are dropped
BUS_BACKLOG_HARD = 64 * 1024 * 1024  # the same; beyond: nothing more is queued until the bus takes some of it

# Deadlines

SPAWN_DEADLINE = 2.0  # request to the spawner, until there is a worker; beyond: NewTunnel fails
# the name or number of an account, which may be in a directory far away; beyond: it counts as not found
ACCOUNT_DEADLINE = 1.0
# a session begun, until the profile is accepted and the engine held, since D-Bus clients give up after 5 s;
# beyond: NewTunnel fails
VERDICT_DEADLINE = 4.0
CONNECT_DEADLINE = 120.0  # Connect, until the tunnel is up; beyond: the session fails (--connect-timeout)
NETWORK_DEADLINE = 10.0  # network settings asked for, until they are in place; beyond: the session fails
RESOLVE_DEADLINE = 10.0  # one name look-up; beyond: the name counts as not found
PAUSE_DEADLINE = 5.0  # traffic to be stopped, until the engine holds; beyond: the session fails
WORKER_GRACE = 3.0  # what the supervisor adds to a deadline that the worker keeps too; beyond: the session fails
GOODBYE_DEADLINE = 5.0  # SIGTERM to the engine, until it is gone; beyond: it is killed
FAILED_READABLE = 10.0  # a failed session on the bus; beyond: it is removed
# a profile asked for from another configuration service, until it is here with all its properties;
# beyond: NewTunnel fails
PROFILE_DEADLINE = 4.0
LEAVING_DEADLINE = 5.0  # calls that came before the service ends, until they are answered; beyond: they are not
BUS_CALL_DEADLINE = 10.0  # a call to another service, until its reply; beyond: what needed it fails
BUS_SLOW = 10.0  # the bus takes nothing of what waits; beyond: the log says so
BUS_STALLED = 600.0  # the same; beyond: the bus counts as gone

# Processes that are stopped, or stuck

# a process is stopped (SIGSTOP), until it goes on; beyond: a session fails or is started again, a helper is
# replaced (--stopped-grace)
STOPPED_GRACE = 1.0
# a session's process uses a processor, or waits in the kernel, all the time; beyond: it is asked whether it still
# answers (--look-interval)
LOOK_INTERVAL = 30.0
ANSWER_DEADLINE = 20.0  # asked, until it answers, as a helper by each request; beyond: as with one that is stopped

# Starting a session again whose worker or engine died, as OpenVPN 3 Linux does

MAX_RESTARTS = 10  # restarts without having been connected for RESTART_FORGOTTEN meanwhile; beyond: the session fails
RESTART_PAUSE = 3.0  # before the first restart; beyond: each further one waits twice as long
MAX_RESTART_PAUSE = 768.0  # before a restart; beyond: it becomes no longer
RESTART_FORGOTTEN = 90.0  # connected; beyond: earlier restarts do not count
