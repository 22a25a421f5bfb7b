/* Makes system calls in another process, which stands still meanwhile: as code would that had taken it over, under
   all that confines it.  Needs root; ptrace(2), process_vm_writev(2). */

#define _GNU_SOURCE
#include "acts.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

static pid_t puppet; /* 0: this process itself */
static uintptr_t their_room;

void make_room(void)
{
    int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE;
    if (mmap(room, ROOM, PROT_READ | PROT_WRITE, flags, -1, 0) != room)
        exit(EXIT_FAILURE);
}

uintptr_t known_as(const void *place)
{
    uintptr_t here = (uintptr_t)place;
    bool inside = here >= (uintptr_t)room && here < (uintptr_t)room + ROOM;
    return puppet != 0 && inside ? their_room + (here - (uintptr_t)room) : here;
}

#ifdef __x86_64__

static struct user_regs_struct rest; /* where it stands: before a system call */
static uintptr_t instruction;        /* that makes the call */

static void fail(const char *what)
{
    perror(what);
    exit(EXIT_FAILURE);
}

static void wait_stop(void)
{
    int status;
    if (waitpid(puppet, &status, __WALL) < 0)
        fail("waitpid");
    if (!WIFSTOPPED(status)) {
        fprintf(stderr, "the process has ended: status %#x\n", status);
        exit(EXIT_FAILURE);
    }
}

/* Let it run until it begins a system call, or has done one. */
static void run_to(int wanted)
{
    struct __ptrace_syscall_info here;
    do {
        if (ptrace(PTRACE_SYSCALL, puppet, 0, 0) < 0)
            fail("run");
        wait_stop();
        if (ptrace(PTRACE_GET_SYSCALL_INFO, puppet, sizeof here, &here) < 0)
            fail("system call");
    } while (here.op != wanted);
}

static void seize(pid_t process)
{
    puppet = process;
    if (ptrace(PTRACE_SEIZE, puppet, 0, PTRACE_O_TRACESYSGOOD) < 0 || ptrace(PTRACE_INTERRUPT, puppet, 0, 0) < 0)
        fail("ptrace");
    wait_stop(); /* if this interrupts a call, it makes that again */
    run_to(PTRACE_SYSCALL_INFO_ENTRY);
    if (ptrace(PTRACE_GETREGS, puppet, 0, &rest) < 0)
        fail("registers");
    struct user_regs_struct none = rest;
    none.orig_rax = (unsigned long)-1;
    if (ptrace(PTRACE_SETREGS, puppet, 0, &none) < 0)
        fail("registers");
    run_to(PTRACE_SYSCALL_INFO_EXIT);
    instruction = rest.rip -= 2;
    rest.rax = rest.orig_rax;
    rest.orig_rax = (unsigned long)-1;
}

static void let_go(void)
{
    if (ptrace(PTRACE_SETREGS, puppet, 0, &rest) < 0 || ptrace(PTRACE_DETACH, puppet, 0, 0) < 0)
        fail("let go");
}

static long call_there(long number, const long arguments[6])
{
    struct user_regs_struct registers = rest;
    registers.rip = instruction;
    registers.rax = (unsigned long)number;
    registers.orig_rax = (unsigned long)-1; /* nothing is to be started again */
    registers.rdi = (unsigned long)arguments[0];
    registers.rsi = (unsigned long)arguments[1];
    registers.rdx = (unsigned long)arguments[2];
    registers.r10 = (unsigned long)arguments[3];
    registers.r8 = (unsigned long)arguments[4];
    registers.r9 = (unsigned long)arguments[5];
    if (ptrace(PTRACE_SETREGS, puppet, 0, &registers) < 0)
        fail("registers");
    do { /* a signal may come between; those that it gets here it ignores anyway */
        if (ptrace(PTRACE_SINGLESTEP, puppet, 0, 0) < 0)
            fail("step");
        wait_stop();
        if (ptrace(PTRACE_GETREGS, puppet, 0, &registers) < 0)
            fail("registers");
    } while (registers.rip != instruction + 2 || ((long)registers.rax <= -512 && (long)registers.rax >= -516));
    return (long)registers.rax;
}

static void copy(bool there)
{
    size_t size = (size_t)(room_end - room);
    if (size == 0)
        return;
    struct iovec here = {room, size}, remote = {(void *)their_room, size};
    ssize_t copied = there ? process_vm_writev(puppet, &here, 1, &remote, 1, 0)
                           : process_vm_readv(puppet, &here, 1, &remote, 1, 0);
    if (copied != (ssize_t)size)
        fail("copy");
}

static long act_in_puppet(long number, const long arguments[6])
{
    copy(true);
    long result = call_there(number, arguments);
    copy(false);
    return result;
}

/* Arguments: the process, whom to attack, the path of its session's profile, and "filtered" if it has a filter. */
int play_puppet(char **arguments)
{
    if (arguments[0] == NULL || arguments[1] == NULL || arguments[2] == NULL || !parse_victims(arguments[1])) {
        fprintf(stderr, "usage: " PUPPET " PID WHOM PROFILE [filtered]\n");
        return EXIT_FAILURE;
    }
    victims.own_profile = victims.own_program = arguments[2];
    bool filtered = arguments[3] != NULL;
    seize(atoi(arguments[0]));
    const long mapping[6] = {0, ROOM, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0};
    long place = call_there(SYS_mmap, mapping);
    if (place < 0) {
        fprintf(stderr, "mmap: %s\n", strerror((int)-place));
        return EXIT_FAILURE;
    }
    their_room = (uintptr_t)place;
    for (size_t i = 0; i < act_count; i++)
        if (acts[i].where == ANYWHERE || (acts[i].where == FOR_GOOD && filtered))
            printf("act %s %d\n", acts[i].name, attempt(&acts[i]));
    let_go();
    return EXIT_SUCCESS;
}

#else

static long act_in_puppet(long number, const long arguments[6])
{
    (void)number, (void)arguments;
    abort();
}

int play_puppet(char **arguments)
{
    (void)arguments;
    fprintf(stderr, "calls can be made in another process on x86-64 only\n");
    return EXIT_FAILURE;
}

#endif

long sys(long number, long a, long b, long c, long d, long e, long f)
{
    long arguments[6] = {a, b, c, d, e, f};
    if (puppet == 0) {
        long result = syscall(number, a, b, c, d, e, f);
        return result == -1 ? -errno : result;
    }
    for (int i = 0; i < 6; i++)
        arguments[i] = (long)known_as((void *)arguments[i]);
    return act_in_puppet(number, arguments);
}
