"""Every limit in one place: sizes in bytes unless it says characters, times in seconds.

A limit's comment says what it bounds, and after "beyond:" what happens then; docs/SECURITY.md has a table of them
(packaging/limits_doc.py).
"""

# Profiles and what users type

MAX_PROFILE = 4 * 1024 * 1024  # a profile with its embedded certificates; beyond: Import is refused
MAX_PROFILE_NAME = 255  # bytes of a profile's name; beyond: it is refused
MAX_TAG = 128  # bytes of one tag of a profile, as in the original; beyond: AddTag is refused
MAX_TAGS = 32  # tags of one profile; beyond: AddTag is refused until one is removed
MAX_OVERRIDE = 255  # bytes of an override that is a text; beyond: SetOverride is refused
MAX_PROFILE_GRANTS = 200  # users that one profile is shared with; beyond: AccessGrant is refused
MAX_METADATA = 64 * 1024  # what is stored of a profile beside its text; beyond: its file counts as damaged
# bytes of one thing a user types, as much as the engine's management takes; beyond: UserInputProvide is refused
MAX_INPUT = 255
# credentials for profiles of one unit openvpn3-sessionmgr-session@; beyond: it ends, and names the number
MAX_UNIT_CREDENTIALS = 100
MAX_CREDENTIALS_FILE = 4 * 1024  # a file of user name and password that a profile names; beyond: they are asked for
# what a user types, where base64 makes four bytes of three; beyond: UserInputProvide is refused
MAX_PENDING_INPUT = MAX_INPUT // 4 * 3

# Stored profiles

# A profile counts for its owner, from the beginning of its import, as its text and PROFILE_OVERHEAD: its metadata, and
# blocks that are not full.  TransferOwnership by root may exceed the new owner's part; what an older version stored
# stays usable.

PROFILE_OVERHEAD = 16 * 1024  # counted for one profile beside its text; beyond: cannot be
MAX_PROFILES_PER_USER = 500  # profiles of one owner; beyond: Import is refused until one is removed
# profiles of all users that do not persist, in memory; beyond: Import is refused
PROFILES_IN_MEMORY = 64 * 1024 * 1024
# the same of one user, who gets no more than others leave free; beyond: Import is refused until one is removed
PROFILES_IN_MEMORY_PER_USER = 16 * 1024 * 1024
# profiles of all users that persist, on disk; beyond: Import is refused
PROFILES_ON_DISK = 256 * 1024 * 1024
# the same of one user, who gets no more than others leave free; beyond: Import is refused until one is removed
PROFILES_ON_DISK_PER_USER = 64 * 1024 * 1024
PROFILES_PART = 4  # of this many parts of a small file system one is for profiles; beyond: Import is refused
# bytes that profiles leave free in their file system, for journals and other services, and half of which changes of a
# profile leave free; beyond: refused
LEFT_FREE = 32 * 1024 * 1024
LEFT_FREE_PART = 8  # of this many parts of a small file system one is left free instead; beyond: refused

# profiles of one owner that have settings of this session manager's own; beyond: SetSetting is refused
MAX_PROFILES_WITH_SETTINGS = 200
MAX_SETTINGS_FILE = 64 * 1024  # a file with the settings of one owner's profiles; beyond: it counts as damaged
# the list of profiles with autoconnect that were disconnected by hand; beyond: it counts as damaged
MAX_AUTOCONNECT_FILE = 2**20

# Work on whole profiles, on the loop that answers everybody

WORK_PIECE = 0.0002  # of such work at a time; beyond: it waits for its next turn
WORK_REST = 0.001  # between two pieces, whosever they are; beyond: the next one begins
# bytes in a second of large profiles that one user imports, fetches or uses; beyond: the next one waits
WORK_RATE = 40 * 1024 * 1024

# Sessions

# sessions of all users, by default (--max-sessions); beyond: NewTunnel is refused until one has ended
DEFAULT_SESSIONS = 400
# sessions that one user started, whoever owns them, by default (--max-sessions-per-user), a quarter of all;
# beyond: NewTunnel is refused to them
DEFAULT_SESSIONS_PER_USER = 100
MAX_SESSIONS = 1000  # that the administrator may allow, which records have room for; beyond: the option is refused
ROOT_PART = 20  # of this many parts of the places for sessions one is kept for root; beyond: refused to others
LAST_PART = 4  # of this many parts of the others' places one is the last; beyond: they are for users with few sessions
FEW_SESSIONS = 2  # sessions of one user when only the last places are free; beyond: NewTunnel is refused to them
# files that the service has open for a session that starts, two or three later; beyond: there are fewer places
DESCRIPTORS_PER_SESSION = 6
MAX_DESCRIPTORS_PER_CALL = 4  # descriptors that come with a call; beyond: the kernel closes them
MAX_DESCRIPTORS_PER_USER = 8  # descriptors of one user's calls that wait; beyond: they are closed, the call is refused
MAX_CLOSING = 32  # descriptors of strangers that take long to close, at once; beyond: others stay open meanwhile
# files that it has open itself, half of them for moments; beyond: it refuses to start
DESCRIPTORS_OF_SERVICE = 40
MAX_THREADS = 8  # threads that read and write files, with two open each; beyond: others wait for their turn
MAX_STARTS_PER_USER = 2  # sessions of one user that are started at once; beyond: NewTunnel waits for its turn
MAX_RECORDS = 2 * MAX_SESSIONS  # workers, and devices, noted on disk; beyond: NewTunnel fails
MAX_WATCHERS_PER_USER = 16  # connections of one user that hear of a session's progress; beyond: the oldest no more
MAX_CALLERS_ASKED = 64  # connections of which the bus is asked at once whose they are; beyond: the next question waits
MAX_GUEST_WATCHERS = 64  # the same of all but owner and root; beyond: the oldest of the user with most no more
MAX_FORWARDS_PER_USER = 4  # log forwards of one session to one user; beyond: LogForward is refused
MAX_GUEST_FORWARDS = 16  # the same to all but owner and root; beyond: LogForward is refused to them
# commands in the network namespace that a session's device is in; beyond: Enter is refused
MAX_COMMANDS_INSIDE = 12
MAX_UNREAD = 10  # tries, a second apart, to send log lines to a connection that reads nothing; beyond: its forward ends
MAX_GRANTED_USERS = 200  # users that a session is shared with; beyond: AccessGrant is refused
# failures that are remembered of the sessions that one user started; beyond: the oldest is forgotten
MAX_FAILURES_PER_USER = 10
MAX_FAILURE_USERS = 100  # users of whom failures are remembered; beyond: the one is forgotten whose last is the oldest
MAX_FAILURES_SHOWN = 100  # failures that a user gets to see, root those of all; beyond: the oldest are left out
MAX_TOLD_ANEW = 64  # messages of a worker that is taken over; beyond: it is killed, its session fails
MAX_DOSSIER = 256 * 1024  # what is kept of a session for the next instance; beyond: it is not taken over
MAX_FAILURE_FILE = 64 * 1024  # a file with one user's failures; beyond: it counts as damaged
MAX_ATTACHED = 64  # other services that log through this one; beyond: Attach is refused
# user ids of sessions, a range that systemd's table leaves unassigned; beyond: NewTunnel is refused
SESSION_UIDS = range(60706, 61184)

# What a worker or engine says

MAX_FRAME = 64 * 1024  # one message between processes; beyond: its sender is killed, its session fails
MAX_LOG_LINE = 2048  # characters of one line of the log; beyond: it is cut
MAX_STATUS_TEXT = 512  # characters of a public status; beyond: it is cut
MAX_URL = 4096  # characters of a page for web authentication; beyond: the login fails
MAX_PROFILE_WARNINGS = 100  # of one profile, about options that are ignored; beyond: they are counted in the last
MAX_CERTIFICATES = 50  # certificates on tokens that a user is offered; beyond: the rest is left out
# times that a proxy refuses user name and password, since going on would lock the account; beyond: the session fails
MAX_PROXY_REFUSALS = 2
MAX_ADDRESSES = 8  # addresses of one session's device; beyond: the session fails
# routes of one session, which an engine takes a time to list that grows with the square of their number;
# beyond: the worker leaves out the rest, and says so
MAX_ROUTES = 1024
# routes that go past the tunnel, of one session and of all sessions of one user; beyond: the rest is left out
MAX_ROUTES_PAST = 256
# networks of which each is more than a route may be, as parts of a default route; beyond: the session fails
MAX_REDIRECTED_NETWORKS = 32
# sessions that wait for the default route, or have it, one after the other; beyond: Connect fails
MAX_REDIRECTING = 16
MAX_WAYS_OUT = 16  # addresses of the machine whose connections stay as they are; beyond: they go by the tunnel
MAX_LOCK_PROFILE = 64  # characters of a profile's name that the kill switch notes; beyond: it is cut
MAX_LOCK_NETWORKS = 64  # networks that the kill switch leaves open; beyond: the service refuses to start
MAX_PASS = 3600  # that the kill switch may be lifted for; beyond: it is refused
MAX_ROUTE_NAMES = 32  # host names in the routes of one session; beyond: the worker leaves out the rest, and says so
ROUTE_NAMES_DEADLINE = 10  # for the addresses of these names; beyond: what has none is left out
MAX_WAYS = 4  # gateways of the machine that one session's routes past the tunnel use; beyond: the rest is left out
# options that a server pushes in one reply; beyond: the worker leaves out the rest, and says so
MAX_PUSHED_OPTIONS = 2 * MAX_ROUTES
MAX_REMOTES = 1024  # servers of one profile, for the same reason; beyond: the rest is left out, and the log says so
MAX_RESOLV_CONF = 64 * 1024  # bytes of resolv.conf; beyond: it is not changed, and only as much is looked at
MAX_NAME_SERVERS = 8  # name servers of one session; beyond: the worker leaves out the rest, and says so
MAX_DNS_DOMAINS = 32  # domains of one session's name servers; beyond: the worker leaves out the rest, and says so
MAX_PUBLIC_IPV4 = 2**25  # public addresses that the sessions of one user may route, two /8; beyond: the session fails
MAX_PUBLIC_IPV6 = 2**113  # the same of IPv6, two /16; beyond: the session fails
# notices of one kind to a session's user, about what was left out or changed; beyond: they are counted in the last
MAX_NOTICES = 40
FORWARD_HEARD = 0.5  # LogForward answered, until its caller listens; beyond: it misses the session's notices
MAX_NOTICE = 320  # characters of one; beyond: it is cut
MAX_ALGORITHM = 96  # characters of a cipher's name; beyond: the worker leaves it out, or is killed
# routes of one session that its status lists, and the same of those that it waits for; beyond: they are counted
MAX_SHOWN_ROUTES = 128
MAX_NETWORK_WARNINGS = 20  # of one change of a session's network settings; beyond: they are counted in the last
MAX_SLOTS = 1000  # questions of one kind over the life of a session; beyond: it fails
MAX_QUESTION = 4608  # characters of one question to a user; beyond: its worker is killed, the session fails
MAX_BYTES = 2**62 - 1  # counted in one direction; beyond: the counter stands still
# an engine counts, until its worker hears of it unasked (whole seconds); beyond: lost, if it dies before somebody looks
COUNT_INTERVAL = 600
COUNTS_KEPT = 1.0  # a session's counters are as they were; beyond: whoever reads them has them asked for anew
COUNT_DEADLINE = 0.5  # whoever reads them waits for worker and engine; beyond: they are as they were
# readers wait for all sessions that one user has started; beyond: what these answer is for the next reader
COUNT_PATIENCE = 1.0
COUNT_PATIENCE_BACK = 10.0  # that patience is used up, until it is back; beyond: it grows no more
MAX_LOOKUPS_PER_SESSION = 2  # names being looked up at once; beyond: its worker is killed, it fails
MAX_RESOLVED = 32  # addresses of one name; beyond: the rest is left out
LOG_CREDIT = 200  # log lines of a worker in a second; beyond: it drops and counts them itself, or is killed
LOG_LINES_OF_USER = 200  # log lines that one user's calls and sessions cause at once; beyond: left out, and counted
LOG_LINES_A_SECOND = 20  # such lines that a user gets back in a second; beyond: left out, and counted
# lines that wait for one destination of the log; a user gets no more than others leave free; beyond: left out, counted
MAX_QUEUED_LINES = 1000
MAX_QUEUED_CHARACTERS = 256 * 1024  # characters of these lines; beyond: the same
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
# arguments of calls larger than MAX_SMALL_BODY, of one user (or of all that are not known yet), from before they are
# read until they are answered; beyond: LimitsExceeded, unread
MAX_LARGE_CALLS_PER_USER = 4 * MAX_IMPORT
MAX_LARGE_CALLS = 16 * MAX_IMPORT  # the same of all users; beyond: LimitsExceeded, unread
MAX_CALLS_PER_SENDER = 1024  # calls of one connection waiting to be run; beyond: LimitsExceeded
MAX_CALLS_PER_USER = 2048  # the same of all connections of a user; beyond: LimitsExceeded, but for a few of each
MIN_CALLS_PER_SENDER = 8  # these few; beyond: LimitsExceeded
MAX_UNDER_WAY = 4  # calls of one user that take time, run at once; beyond: they wait for each other
# calls that came before the service was ready; beyond: LimitsExceeded to the connection that sent most of them
MAX_HELD_CALLS = 4096
# accounts looked up at once, since a directory that does not answer holds each for long; beyond: others wait
MAX_ACCOUNT_LOOKUPS = 8
MAX_ACCOUNT_LOOKUPS_PER_USER = 2  # of those, on behalf of one user; beyond: the same
# users and groups that a right of the administrator's configuration names; beyond: it is refused
MAX_WHO = 64
# one file of the administrator's configuration; beyond: the service does not start, or keeps what it has
MAX_CONFIGURATION_FILE = 64 * 1024
MAX_CONFIGURATION_FILES = 64  # files in config.d; beyond: the same
MAX_SEAT_SESSIONS = 16  # sessions of one user on local seats that logind is asked about; beyond: the rest is not
MAX_NAMES_KEPT = 256  # names of accounts that are remembered; beyond: others are looked up for each session
# characters of an error, which may quote what it is about; beyond: it is cut
MAX_ERROR_TEXT = 4096

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
# log lines sent to forwards, of which a rejection by the bus is still noticed, which comes within milliseconds; beyond:
# that of the oldest is not
MAX_TRACKED_SIGNALS = 4096
BUS_BACKLOG_SOFT = 1024 * 1024  # our own outgoing queue; beyond: signals that may be lost are dropped
BUS_BACKLOG_HARD = 64 * 1024 * 1024  # the same; beyond: nothing more is queued until the bus takes some of it

# Deadlines

# Where it says "of its own", the time in which the processes that it is about wait for a processor does not count.

# such a deadline is put off by this many times what it is; beyond: the machine being busy does not count
BUSY_MACHINE = 10
SPAWN_DEADLINE = 3.0  # request to the spawner, until there is a worker, of its own; beyond: NewTunnel fails
# the name or number of an account, which may be in a directory far away; beyond: it counts as not found
ACCOUNT_DEADLINE = 1.0
# what logind says of local seats; beyond: nobody counts as active on one
SEAT_DEADLINE = 1.0
# a worker told its session, until the profile is accepted and the engine held, of its own, since D-Bus clients give up
# after 5 s; beyond: NewTunnel fails
VERDICT_DEADLINE = 4.0
CONNECT_DEADLINE = 120.0  # Connect, until the tunnel is up; beyond: the session fails (--connect-timeout)
NETWORK_DEADLINE = 10.0  # network settings asked for, until they are in place; beyond: the session fails
# before a device gets the name that one still has which is about to be removed; beyond: it gets another name
DEVICE_NAME_WAIT = 2.0
# a device that is switched on, until the kernel tells others that it works; beyond: its name servers are set anyway
OPERATIONAL_DEADLINE = 1.5
DNS_DEADLINE = 3.0  # name servers asked for, until they are in place; beyond: connected without, and a warning
RESOLVE_DEADLINE = 10.0  # one name look-up; beyond: the name counts as not found
PAUSE_DEADLINE = 5.0  # traffic to be stopped, until the engine holds; beyond: the session fails
WORKER_GRACE = 3.0  # what the supervisor adds to a deadline that the worker keeps too; beyond: the session fails
GOODBYE_DEADLINE = 5.0  # SIGTERM to the engine, until it is gone; beyond: it is killed
GOODBYE_GRACE = 2.0  # what the supervisor adds to that for the worker; beyond: it is killed
CLOSED_GRACE = 1.0  # the channel of a worker or helper closed, until its process is gone; beyond: it is killed
# a supervisor connected to a worker whose own is gone, until it has said hello, and read what it is told; beyond: the
# worker waits for another one
TAKEOVER_DEADLINE = 5.0
TAKEOVERS_AT_ONCE = 16  # workers that are taken over at the same time; beyond: they take turns
TAKEOVER_TURN = 0.25  # one of them, until it is counted no more; beyond: the next one begins beside it
# all sessions of an instance that is gone, until they are taken over; beyond: those that are not yet are ended
ADOPTION_DEADLINE = 20.0
# a device in a network namespace of an earlier instance's time is wanted back, until the namespace has been handed
# over anew; beyond: it is removed, and its session fails
HANDED_DEADLINE = 3.0
# a worker without a supervisor, until it looks whether its engine is connected; beyond: if it is not, it ends
ORPHAN_LOOK = 3600.0
FAILED_READABLE = 10.0  # a failed session on the bus; beyond: it is removed
# a profile asked for from another configuration service, until it is here with all its properties;
# beyond: NewTunnel fails
PROFILE_DEADLINE = 4.0
# the machine's default route, addresses, rules or name servers change, until they are looked at, doubled each time
# that something of ours was missing; beyond: more changes are looked at together
ROUTING_QUIET = 0.05
# after one reading of what the kernel tells of such changes, until the next; beyond: cannot be
ROUTING_EVENTS_PAUSE = 0.1
# the same change, until the ways to the servers of sessions are looked at; beyond: more changes are looked at together
ROAMING_QUIET = 0.1
# such ways that have changed; beyond: each further change is waited for twice as long, until there is none for a minute
ROAMING_UNHURRIED = 8
MAX_SERVER_ADDRESSES = 64  # that a session's engine may try, and that are followed; beyond: the rest is not
# traffic that gets no answer after such a change, until the session connects anew; beyond: it does
ROAMING_PATIENCE = 4.0
# between two changes of the network settings of a session that stays connected; beyond: the second one waits, and what
# its worker says after that
LIVE_CHANGES_PAUSE = 0.5
MAX_ROUTING_PAUSE = 10.0  # before what somebody removes again and again is put back; beyond: it grows no more
# a service of OpenVPN 3 Linux that a call of ovpnctl has started, until it is ready; beyond: the command fails
READY_DEADLINE = 20.0
READY_PAUSE = 0.01  # before such a service is asked for the second time; beyond: each further pause is twice as long
MAX_READY_PAUSE = 0.25  # before it is asked again; beyond: it becomes no longer
# the machine about to sleep, until sessions are paused or ended as their profiles say, since logind waits 5 s;
# beyond: it sleeps
BEFORE_SLEEP_DEADLINE = 4.0
KERNEL_DEADLINE = 5.0  # the kernel's answer about routes or the firewall; beyond: what needed it fails
MAX_DUMPS = 8  # times that what changes while the kernel lists it is listed anew; beyond: what needed it fails
MAX_KERNEL_WORDS = 200  # characters of why the kernel refuses something; beyond: cut off
MAX_KEPT_TRIAL = 2**20  # bytes of what a trial of the sandbox has found; beyond: the next start tries anew
FLUSH_DEADLINE = 1.0  # the last lines of the log, until all destinations took them; beyond: the lines are lost
SERVICE_MANAGER_DEADLINE = 2.0  # systemd asked what it wants, until it has answered; beyond: sessions end
# an instance that has lost a helper, from its start until it may leave to the next one by itself; beyond: it does
SERVING_AT_LEAST = 30.0
# something is to be removed or given back and cannot be, until that is tried again; beyond: twice as long each time
AGAIN_FIRST = 0.5
AGAIN_LONGEST = 60.0  # the same, at most; beyond: the next try
INSTANCE_DEADLINE = 10.0  # an instance that leaves, until it is gone; beyond: the next one refuses to start
LEAVING_DEADLINE = 5.0  # calls that came before the service ends, until they are answered; beyond: they are not
BUS_CALL_DEADLINE = 10.0  # a call to another service, until its reply; beyond: what needed it fails
BUS_SLOW = 10.0  # the bus takes nothing of what waits; beyond: the log says so
BUS_STALLED = 600.0  # the same; beyond: the bus counts as gone
# The bus is gone, and there is no session (default of --bus-wait); beyond: the service ends.
BUS_WAIT = 60.0
REJOIN_FIRST = 0.1  # between the first two tries to join a bus that is gone; beyond: twice as long each time
REJOIN_LONGEST = 5.0  # the same, at most; beyond: the next try

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
