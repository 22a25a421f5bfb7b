/* What code in a session's process tries: one function an act, and what they are tried with.

   They run in two places, which differ in how a system call is made: in this program itself, which stands in the
   engine's place (engine.c), and in a real worker, which is made to call what we like (puppet.c). */

#ifndef ACTS_H
#define ACTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Whom and what the acts are aimed at; ids as the lab sees them. */
struct victims {
    pid_t session; /* another session's engine */
    pid_t supervisor;
    uid_t service_user;
    uid_t user;            /* somebody with an account */
    int port;              /* of a service at 127.0.0.1 */
    int memory;            /* a segment of System V shared memory */
    const char *device;    /* the other session's */
    const char *profile;   /* the other session's */
    const char *host;      /* name of this machine */
    const char *group;     /* in the tree of cgroups, that the service is in */
    const char *directory; /* of files of others */
    const char *bus;       /* the bus's socket */
    /* These are found out in place. */
    pid_t worker; /* the own one */
    const char *own_profile, *own_program;
    int own_descriptor; /* that this program has made itself */
};

extern struct victims victims;

/* From words in the order of the structure, as far as they are told; changes `words`.  False if one is missing. */
bool parse_victims(char *words);

/* Where it is tried.  After FOR_GOOD a puppet may be none any more, so that is tried in one with a filter only. */
enum where { ANYWHERE, FOR_GOOD, ENGINE_ONLY };

struct act {
    const char *name;
    int (*attempt)(void);
    enum where where;
};

/* In the order to try them in: what cannot be undone, and takes from what others need, comes last. */
extern const struct act acts[];
extern const size_t act_count;

/* Try it: 0 if it came off, else an errno. */
int attempt(const struct act *act);

/* A secret of the other session: the program is the same, and so is the address. */
extern char secret[256];
#define SECRET_BEGINS "hunter2-"

/* How this program is started when an act executes it: it ends at once, with 0 if it has the user id that follows. */
#define MERELY_END "merely-end"

/* … and to have it try the acts in another process, whose id and more follow (puppet.c). */
#define PUPPET "puppet"
int play_puppet(char **arguments);

/* --- calls, made here or in the puppet --- */

/* All memory that they read or write is in here, where nothing else is, neither address nor number. */
#define ROOM (128 * 1024)
#define room ((char *)0x1000000000)
void make_room(void);
extern char *room_end; /* of what is used of it */

/* A system call: the result, or an errno, negative.  Addresses within `room` are translated. */
long sys(long number, long a, long b, long c, long d, long e, long f);

/* The address by which the calling process knows a place in `room`. */
uintptr_t known_as(const void *place);

/* Have the supervisor do something. */
void provoke(void);

#endif
