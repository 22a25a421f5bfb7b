#define _GNU_SOURCE
#include "acts.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <linux/perf_event.h>
#include <linux/userfaultfd.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/utsname.h>
#include <unistd.h>

#define MB (1024L * 1024)

struct victims victims;
char secret[256];

/* --- making calls --- */

char *room_end;

static void *take(size_t size)
{
    if (room_end == NULL || room_end + size > room + ROOM)
        abort();
    void *taken = room_end;
    room_end += (size + 15) & ~(size_t)15;
    return memset(taken, 0, size);
}

static char *text(const char *format, const char *word)
{
    size_t size = strlen(format) + strlen(word) + 1;
    char *made = take(size);
    snprintf(made, size, format, word);
    return made;
}

#define CALL_(number, a, b, c, d, e, f, ...) \
    sys((number), (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), (long)(f))
#define CALL(number, ...) CALL_(number, __VA_ARGS__ __VA_OPT__(, ) 0, 0, 0, 0, 0, 0)

/* Leave the function with the errno of a call that failed. */
#define TRY(result, call)          \
    long result = (call);          \
    if (result < 0)                \
        return (int)-result

static void shut(long descriptor)
{
    CALL(SYS_close, descriptor);
}

static int errno_of(long result)
{
    return result < 0 ? (int)-result : 0;
}

/* --- files --- */

static int read_file(const char *path)
{
    char *data = take(64);
    TRY(file, CALL(SYS_openat, AT_FDCWD, path, O_RDONLY));
    long count = CALL(SYS_read, file, data, 64);
    shut(file);
    return count > 0 ? 0 : count < 0 ? errno_of(count) : ENODATA;
}

static int read_passwd(void)
{
    return read_file(text("%s", "/etc/passwd"));
}

static int read_home(void)
{
    return read_file(text("%s/home/notes", victims.directory));
}

static uid_t own_user(void)
{
    return (uid_t)CALL(SYS_getuid);
}

static int read_as_its_owner(void)
{
    uid_t own = own_user();
    TRY(become, CALL(SYS_setresuid, victims.user, victims.user, victims.user));
    int failure = read_file(text("%s/home/diary", victims.directory));
    CALL(SYS_setresuid, own, own, own);
    return failure;
}

static int write_elsewhere(void)
{
    const char *path = text("%s/tmp/mark", victims.directory);
    TRY(file, CALL(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CREAT, 0600));
    shut(file);
    return errno_of(CALL(SYS_unlinkat, AT_FDCWD, path, 0));
}

static int read_proc(void)
{
    char number[16];
    snprintf(number, sizeof number, "%d", victims.supervisor);
    return read_file(text("/proc/%s/cmdline", number));
}

static int read_session_file(void)
{
    /* With mounts of its own each session has its file at the same path. */
    if (strcmp(victims.profile, victims.own_profile) == 0)
        return ENOENT;
    return read_file(text("%s", victims.profile));
}

static int find_group(void)
{
    char *data = take(4096);
    TRY(file, CALL(SYS_openat, AT_FDCWD, text("%s", "/proc/self/cgroup"), O_RDONLY));
    long count = CALL(SYS_read, file, data, 4095);
    shut(file);
    if (count <= 0)
        return count < 0 ? errno_of(count) : ENODATA;
    return strstr(data, victims.group) != NULL ? 0 : ENOENT;
}

static int learn_host_name(void)
{
    struct utsname *name = take(sizeof *name);
    TRY(asked, CALL(SYS_uname, name));
    return strcmp(name->nodename, victims.host) == 0 ? 0 : ENOENT;
}

/* --- other processes --- */

static int signal_session(void)
{
    return errno_of(CALL(SYS_kill, victims.session, 0));
}

/* The other session's engine ignores it here. */
static int abort_session(void)
{
    return errno_of(CALL(SYS_tgkill, victims.session, victims.session, SIGABRT));
}

static int signal_supervisor(void)
{
    uid_t own = own_user();
    TRY(become, CALL(SYS_setresuid, victims.service_user, victims.service_user, victims.service_user));
    int failure = errno_of(CALL(SYS_kill, victims.supervisor, 0));
    CALL(SYS_setresuid, own, own, own);
    return failure;
}

static int signal_worker(void)
{
    return errno_of(CALL(SYS_kill, victims.worker, 0));
}

static int trace(pid_t process)
{
    TRY(seized, CALL(SYS_ptrace, PTRACE_SEIZE, process, 0, 0));
    CALL(SYS_ptrace, PTRACE_INTERRUPT, process, 0, 0);
    CALL(SYS_wait4, process, 0, __WALL, 0);
    return errno_of(CALL(SYS_ptrace, PTRACE_DETACH, process, 0, 0));
}

static int trace_session(void)
{
    return trace(victims.session);
}

static int is_secret(const char *data)
{
    return memcmp(data, SECRET_BEGINS, strlen(SECRET_BEGINS)) == 0 ? 0 : ENOENT;
}

static long read_memory(pid_t process, const void *from, char *data, size_t size)
{
    struct iovec *here = take(sizeof *here), *there = take(sizeof *there);
    *here = (struct iovec){(void *)known_as(data), size};
    *there = (struct iovec){(void *)from, size};
    return CALL(SYS_process_vm_readv, process, here, 1, there, 1, 0);
}

static int read_session_memory(void)
{
    char *data = take(sizeof secret);
    TRY(count, read_memory(victims.session, secret, data, sizeof secret));
    return is_secret(data);
}

static int open_session_memory(void)
{
    char number[16], *data = take(sizeof secret);
    snprintf(number, sizeof number, "%d", victims.session);
    TRY(memory, CALL(SYS_openat, AT_FDCWD, text("/proc/%s/mem", number), O_RDONLY));
    TRY(count, CALL(SYS_pread64, memory, data, sizeof secret, secret));
    shut(memory);
    return is_secret(data);
}

static int take_descriptor(void)
{
    TRY(process, CALL(SYS_pidfd_open, victims.session, 0));
    long descriptor = CALL(SYS_pidfd_getfd, process, STDOUT_FILENO, 0);
    shut(process);
    if (descriptor >= 0)
        shut(descriptor);
    return errno_of(descriptor);
}

static int bound_session(void)
{
    struct rlimit *bound = take(sizeof *bound);
    return errno_of(CALL(SYS_prlimit64, victims.session, RLIMIT_NOFILE, 0, bound));
}

/* Whether there is anything at the address is asked after permission. */
static int may_read_memory(pid_t process)
{
    int failure = errno_of(read_memory(process, secret, take(64), 64));
    return failure == EFAULT ? 0 : failure;
}

static int read_worker_memory(void)
{
    return may_read_memory(victims.worker);
}

static int read_supervisor_memory(void)
{
    uid_t own = own_user();
    CALL(SYS_setresuid, victims.service_user, victims.service_user, victims.service_user);
    int failure = may_read_memory(victims.supervisor);
    CALL(SYS_setresuid, own, own, own);
    return failure;
}

static int attach_shared_memory(void)
{
    TRY(place, CALL(SYS_shmat, victims.memory, 0, SHM_RDONLY));
    return errno_of(CALL(SYS_shmdt, place));
}

/* --- the supervisor's memory, by what the kernel tells about processes that it puts to sleep --- */

#define SAMPLED 512
#define PAGES 8
#define MOST_PROCESSORS 64
#define PATIENCE 10 /* seconds; they are used up only where the act does not come off */

struct sample { /* what is asked for below, as perf_event_open(2) lays it out */
    struct perf_event_header header;
    uint32_t process, thread;
    uint64_t size;
    char stack[SAMPLED];
    uint64_t filled;
} __attribute__((packed));

static bool has_sample(struct perf_event_mmap_page *page)
{
    char *ring = (char *)page + page->data_offset;
    for (; page->data_tail != page->data_head;) {
        struct sample one;
        for (size_t i = 0; i < sizeof one; i++)
            ((char *)&one)[i] = ring[(page->data_tail + i) % page->data_size];
        page->data_tail += one.header.size;
        /* One that is outside of a pid namespace has the number 0 in it. */
        bool supervisor = one.process == (uint32_t)victims.supervisor || one.process == 0;
        if (one.header.type == PERF_RECORD_SAMPLE && supervisor && one.size == SAMPLED && one.filled > 0)
            return true;
    }
    return false;
}

static int sample_supervisor(void)
{
    struct perf_event_attr *wanted = take(sizeof *wanted);
    struct pollfd *opened = take(MOST_PROCESSORS * sizeof *opened);
    struct perf_event_mmap_page *pages[MOST_PROCESSORS];
    struct timespec *patience = take(sizeof *patience);
    int count = 0;
    *wanted = (struct perf_event_attr){
        .size = sizeof *wanted,
        .type = PERF_TYPE_SOFTWARE,
        .config = PERF_COUNT_SW_CONTEXT_SWITCHES,
        .sample_period = 1,
        .sample_type = PERF_SAMPLE_TID | PERF_SAMPLE_STACK_USER,
        .sample_stack_user = SAMPLED,
        .wakeup_events = 1,
    };
    for (; count < MOST_PROCESSORS; count++) {
        long descriptor = CALL(SYS_perf_event_open, wanted, -1, count, -1, 0);
        if (descriptor == -ENODEV || descriptor == -EINVAL)
            break; /* no such processor */
        if (descriptor < 0)
            return (int)-descriptor;
        opened[count] = (struct pollfd){.fd = (int)descriptor, .events = POLLIN};
        TRY(place, CALL(SYS_mmap, 0, (1 + PAGES) * 4096, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0));
        pages[count] = (struct perf_event_mmap_page *)place;
    }
    provoke();
    for (patience->tv_sec = PATIENCE;;) { /* the kernel counts down in it */
        long ready = CALL(SYS_ppoll, opened, count, patience, 0, 0);
        if (ready <= 0)
            return ready < 0 ? (int)-ready : ETIMEDOUT;
        for (int i = 0; i < count; i++)
            if (has_sample(pages[i]))
                return 0;
    }
}

/* --- the bus, the network --- */

static long connect_unix(const char *path, bool abstract)
{
    struct sockaddr_un *address = take(sizeof *address);
    address->sun_family = AF_UNIX;
    strcpy(address->sun_path + abstract, path);
    long made = CALL(SYS_socket, AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (made < 0)
        return made;
    long failure = CALL(SYS_connect, made, address, offsetof(struct sockaddr_un, sun_path) + abstract + strlen(path) + !abstract);
    if (failure == 0)
        return made;
    shut(made);
    return failure;
}

static int connect_bus(void)
{
    TRY(bus, connect_unix(victims.bus, false));
    shut(bus);
    return 0;
}

/* It takes no stranger's word: whoever speaks must be a user whom the machine knows. */
static int speak_on_bus(void)
{
    uid_t own = own_user();
    TRY(become, CALL(SYS_setresuid, victims.user, victims.user, victims.user));
    long bus = connect_unix(victims.bus, false);
    CALL(SYS_setresuid, own, own, own);
    if (bus < 0)
        return (int)-bus;
    char *said = take(64), *heard = take(64), number[16];
    int size = snprintf(number, sizeof number, "%u", victims.user);
    char *end = stpcpy(said + 1, "AUTH EXTERNAL ");
    for (int i = 0; i < size; i++)
        end += sprintf(end, "%02x", number[i]);
    end = stpcpy(end, "\r\n");
    CALL(SYS_write, bus, said, end - said);
    long count = CALL(SYS_read, bus, heard, 63);
    shut(bus);
    return count < 0 ? errno_of(count) : strncmp(heard, "OK ", 3) == 0 ? 0 : EACCES;
}

static int connect_abstract(void)
{
    TRY(other, connect_unix(victims.directory, true));
    shut(other);
    return 0;
}

static struct sockaddr_in *loopback(int port)
{
    struct sockaddr_in *address = take(sizeof *address);
    *address = (struct sockaddr_in){
        .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    return address;
}

static int connect_loopback(void)
{
    TRY(made, CALL(SYS_socket, AF_INET, SOCK_STREAM, 0));
    long failure = CALL(SYS_connect, made, loopback(victims.port), sizeof(struct sockaddr_in));
    shut(made);
    return errno_of(failure);
}

static int serve_others(void)
{
    TRY(made, CALL(SYS_socket, AF_INET, SOCK_STREAM, 0));
    long failure = CALL(SYS_bind, made, loopback(0), sizeof(struct sockaddr_in));
    if (failure == 0)
        failure = CALL(SYS_listen, made, 1);
    shut(made);
    return errno_of(failure);
}

static int make_socket(int family, int type, int protocol)
{
    TRY(made, CALL(SYS_socket, family, type, protocol));
    shut(made);
    return 0;
}

static int other_family(void)
{
    static const int types[] = {SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET, SOCK_RAW};
    int failure = EAFNOSUPPORT;
    for (int family = 1; family < AF_MAX; family++) {
        if (family == AF_UNIX || family == AF_INET || family == AF_INET6 || family == AF_NETLINK)
            continue;
        for (size_t i = 0; i < sizeof types / sizeof *types; i++)
            if ((failure = make_socket(family, types[i], 0)) == 0)
                return 0;
    }
    return failure;
}

static int other_netlink(void)
{
    return make_socket(AF_NETLINK, SOCK_RAW, 16 /* NETLINK_GENERIC */);
}

static int attach_device(void)
{
    struct ifreq *request = take(sizeof *request);
    request->ifr_flags = IFF_TUN | IFF_NO_PI;
    strcpy(request->ifr_name, victims.device);
    TRY(device, CALL(SYS_openat, AT_FDCWD, text("%s", "/dev/net/tun"), O_RDWR));
    long failure = CALL(SYS_ioctl, device, TUNSETIFF, request);
    shut(device);
    return errno_of(failure);
}

/* --- privileges --- */

static int mount_something(void)
{
    char *place = text("%s", victims.own_profile);
    *strrchr(place, '/') = '\0';
    TRY(mounted, CALL(SYS_mount, text("%s", "none"), place, text("%s", "tmpfs"), 0, 0));
    return errno_of(CALL(SYS_umount2, place, MNT_DETACH));
}

static int new_network(void)
{
    return errno_of(CALL(SYS_unshare, CLONE_NEWNET));
}

static int new_user_namespace(void)
{
    return errno_of(CALL(SYS_unshare, CLONE_NEWUSER));
}

static int become_root(void)
{
    uid_t own = own_user();
    TRY(become, CALL(SYS_setresuid, 0, 0, 0));
    CALL(SYS_setresuid, own, own, own);
    return 0;
}

/* --- programs --- */


/* It has come off if this does not return, and the program ends with 0. */
static int execute(const char *path, const char *first)
{
    char number[16];
    snprintf(number, sizeof number, "%u", victims.user);
    uintptr_t *arguments = take(4 * sizeof *arguments), *environment = take(sizeof *environment);
    arguments[0] = known_as(text("%s", "program"));
    arguments[1] = known_as(text("%s", first));
    arguments[2] = known_as(text("%s", number));
    return errno_of(CALL(SYS_execve, path, arguments, environment));
}

static int execute_program(void)
{
    return execute(text("%s", "/usr/bin/true"), "");
}

static int execute_loader(void)
{
    return execute(text("%s", LOADER), "--version");
}

static int execute_set_user_id(void)
{
    return execute(text("%s/programs/set-user-id", victims.directory), MERELY_END);
}

/* What is in memory only has no path that could be forbidden. */
static int execute_memory(void)
{
    TRY(file, CALL(SYS_memfd_create, text("%s", "program"), MFD_CLOEXEC));
    TRY(own, CALL(SYS_openat, AT_FDCWD, text("%s", victims.own_program), O_RDONLY));
    long copied;
    do
        copied = CALL(SYS_sendfile, file, own, 0, MB);
    while (copied > 0);
    shut(own);
    if (copied < 0)
        return errno_of(copied);
    uintptr_t *arguments = take(3 * sizeof *arguments), *environment = take(sizeof *environment);
    arguments[0] = known_as(text("%s", "program"));
    arguments[1] = known_as(text("%s", MERELY_END));
    return errno_of(CALL(SYS_execveat, file, text("%s", ""), arguments, environment, AT_EMPTY_PATH));
}

#define WRITABLE (PROT_READ | PROT_WRITE)
#define OWN_MEMORY (MAP_PRIVATE | MAP_ANONYMOUS)

static int map_executable(void)
{
    TRY(place, CALL(SYS_mmap, 0, 4096, WRITABLE | PROT_EXEC, OWN_MEMORY, -1, 0));
    CALL(SYS_munmap, place, 4096);
    return 0;
}

static int make_executable(void)
{
    TRY(place, CALL(SYS_mmap, 0, 4096, WRITABLE, OWN_MEMORY, -1, 0));
    long failure = CALL(SYS_mprotect, place, 4096, PROT_READ | PROT_EXEC);
    CALL(SYS_munmap, place, 4096);
    return errno_of(failure);
}

/* What attacks on the kernel like to have: it lets them stop the kernel in the middle of a call. */
static int handle_faults(void)
{
    TRY(handle, CALL(SYS_userfaultfd, UFFD_USER_MODE_ONLY));
    shut(handle);
    return 0;
}

/* --- more than its share; each a little above the bound of policy/sandbox/confinement.py --- */

#define CHILDREN 12
#define FILES 100

static int fork_many(void)
{
    pid_t made[CHILDREN];
    int count = 0;
    long child = 0;
    for (; count < CHILDREN; count++) {
        child = CALL(SYS_clone, SIGCHLD);
        if (child < 0)
            break;
        if (child == 0)
            for (;;)
                pause();
        made[count] = (pid_t)child;
    }
    for (int i = 0; i < count; i++) {
        CALL(SYS_kill, made[i], SIGKILL);
        CALL(SYS_wait4, made[i], 0, __WALL, 0);
    }
    return errno_of(child);
}

static int fill_memory(void)
{
    long size = 208 * MB;
    TRY(place, CALL(SYS_mmap, 0, size, WRITABLE, OWN_MEMORY, -1, 0));
    CALL(SYS_madvise, place, size, MADV_HUGEPAGE); /* faster, where there are any */
    long failure = CALL(SYS_madvise, place, size, MADV_POPULATE_WRITE);
    CALL(SYS_munmap, place, size);
    return errno_of(failure);
}

#define PIECE (64 * 1024)

static int fill_files(int count, long size)
{
    char *path = text("%s", victims.own_profile), *zero = take(PIECE);
    long failure = 0;
    int made = 0;
    for (; made < count && failure >= 0; made++) {
        path[strlen(path) - 1] = (char)('0' + made);
        failure = CALL(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CREAT | O_EXCL, 0600);
        if (failure < 0)
            break;
        long file = failure;
        for (long at = 0; at < size && failure >= 0; at += PIECE)
            failure = CALL(SYS_pwrite64, file, zero, PIECE, at);
        shut(file);
    }
    for (int i = 0; i < made; i++) {
        path[strlen(path) - 1] = (char)('0' + i);
        CALL(SYS_unlinkat, AT_FDCWD, path, 0);
    }
    return errno_of(failure);
}

static int write_large_file(void)
{
    return fill_files(1, 9 * MB);
}

static int fill_directory(void)
{
    return fill_files(3, 7 * MB);
}

static int open_many(void)
{
    char *path = text("%s", victims.own_profile);
    long opened[FILES], last = 0;
    int count = 0;
    for (; count < FILES && last >= 0; count++)
        opened[count] = last = CALL(SYS_openat, AT_FDCWD, path, O_RDONLY);
    for (int i = 0; i < count; i++)
        if (opened[i] >= 0)
            shut(opened[i]);
    return errno_of(last);
}

static int find_descriptors(void)
{
    for (long i = STDERR_FILENO + 1; i < 1024; i++)
        if (i != victims.own_descriptor && CALL(SYS_fcntl, i, F_GETFD) >= 0)
            return 0;
    return EBADF;
}

const struct act acts[] = {
    {"read-passwd", read_passwd, ANYWHERE},
    {"read-home", read_home, ANYWHERE},
    {"read-as-its-owner", read_as_its_owner, ANYWHERE},
    {"write-elsewhere", write_elsewhere, ANYWHERE},
    {"read-proc", read_proc, ANYWHERE},
    {"read-session-file", read_session_file, ANYWHERE},
    {"find-group", find_group, ANYWHERE},
    {"learn-host-name", learn_host_name, ANYWHERE},
    {"signal-session", signal_session, ANYWHERE},
    {"abort-session", abort_session, ANYWHERE},
    {"signal-supervisor", signal_supervisor, ANYWHERE},
    {"signal-worker", signal_worker, ENGINE_ONLY},
    {"trace-session", trace_session, ANYWHERE},
    {"read-session-memory", read_session_memory, ANYWHERE},
    {"open-session-memory", open_session_memory, ANYWHERE},
    {"take-descriptor", take_descriptor, ANYWHERE},
    {"bound-session", bound_session, ANYWHERE},
    {"read-worker-memory", read_worker_memory, ENGINE_ONLY},
    {"read-supervisor-memory", read_supervisor_memory, ANYWHERE},
    {"sample-supervisor", sample_supervisor, ENGINE_ONLY},
    {"attach-shared-memory", attach_shared_memory, ANYWHERE},
    {"connect-bus", connect_bus, ANYWHERE},
    {"speak-on-bus", speak_on_bus, ANYWHERE},
    {"connect-abstract", connect_abstract, ANYWHERE},
    {"connect-loopback", connect_loopback, ANYWHERE},
    {"serve-others", serve_others, ANYWHERE},
    {"other-family", other_family, ANYWHERE},
    {"other-netlink", other_netlink, ANYWHERE},
    {"attach-device", attach_device, ANYWHERE},
    {"mount", mount_something, ANYWHERE},
    {"execute-program", execute_program, FOR_GOOD},
    {"execute-loader", execute_loader, FOR_GOOD},
    {"execute-set-user-id", execute_set_user_id, FOR_GOOD},
    {"execute-memory", execute_memory, FOR_GOOD},
    {"map-executable", map_executable, ANYWHERE},
    {"make-executable", make_executable, ANYWHERE},
    {"handle-faults", handle_faults, ANYWHERE},
    {"fork-many", fork_many, FOR_GOOD},
    {"fill-memory", fill_memory, FOR_GOOD},
    {"write-large-file", write_large_file, ANYWHERE},
    {"fill-directory", fill_directory, ANYWHERE},
    {"open-many", open_many, ANYWHERE},
    {"find-descriptors", find_descriptors, ENGINE_ONLY},
    {"new-network", new_network, ANYWHERE},
    {"become-root", become_root, ANYWHERE}, /* which loses its capabilities on the way back */
    {"new-user-namespace", new_user_namespace, ANYWHERE},
};
const size_t act_count = sizeof acts / sizeof *acts;

/* --- what the places call --- */

int attempt(const struct act *act)
{
    room_end = room;
    return act->attempt();
}

static char *word(char **rest)
{
    char *found = strsep(rest, " ");
    return found == NULL || *found == '\0' ? NULL : found;
}

bool parse_victims(char *words)
{
    char *numbers[6];
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        if ((numbers[i] = word(&words)) == NULL)
            return false;
    victims.session = atoi(numbers[0]);
    victims.supervisor = atoi(numbers[1]);
    victims.service_user = (uid_t)atoi(numbers[2]);
    victims.user = (uid_t)atoi(numbers[3]);
    victims.port = atoi(numbers[4]);
    victims.memory = atoi(numbers[5]);
    const char **texts[] = {&victims.device, &victims.profile, &victims.host, &victims.group, &victims.directory, &victims.bus};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if ((*texts[i] = word(&words)) == NULL)
            return false;
    return true;
}
