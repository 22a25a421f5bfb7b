/* Stands in the engine's place: speaks as much of the management interface (openvpn's management-notes.txt) as it
   takes to be let go and told a user's name and password, which say what to do:

     "attack", and whom          try all acts, and report each in a line of the log: "act NAME ERRNO"
     "say", and "COUNT WORDS"    say the words so many times; | stands for the end of a line
     anything else               keep the password, as any engine does, and be a victim */

#define _GNU_SOURCE
#include "acts.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static int management = -1;

__attribute__((format(printf, 1, 2))) static void say(const char *format, ...)
{
    char line[512];
    va_list values;
    va_start(values, format);
    int size = vsnprintf(line, sizeof line - 1, format, values);
    va_end(values);
    line[size++] = '\n';
    if (write(management, line, (size_t)size) != size)
        exit(EXIT_FAILURE);
}

void provoke(void)
{
    say(">LOG:0,I,look here");
}

/* In a process of its own, where that is not forbidden, so that acts do not disturb each other. */
static int attempt_apart(const struct act *act)
{
    pid_t child = fork();
    if (child < 0 && errno == EPERM)
        return attempt(act);
    if (child < 0) {
        say(">FATAL:cannot fork: %s", strerror(errno));
        exit(EXIT_FAILURE);
    }
    if (child == 0)
        _exit(attempt(act));
    int status;
    if (waitpid(child, &status, 0) < 0)
        return errno;
    return WIFEXITED(status) ? WEXITSTATUS(status) : EINTR;
}

static void attack(char *whom)
{
    if (!parse_victims(whom)) {
        say(">FATAL:whom to attack is not understood");
        exit(EXIT_FAILURE);
    }
    for (size_t i = 0; i < act_count; i++)
        say(">LOG:0,I,act %s %d", acts[i].name, attempt_apart(&acts[i]));
    say(">LOG:0,I,all acts done");
}

static void say_often(char *password)
{
    char *words;
    long count = strtol(password, &words, 10);
    words++;
    for (char *end = words; (end = strchr(end, '|')) != NULL;)
        *end = '\n';
    size_t size = strlen(words);
    for (; count > 0; count--)
        if (write(management, words, size) != (ssize_t)size)
            exit(EXIT_FAILURE);
}

/* The second parameter of a command, in quotes. */
static char *typed(char *command)
{
    char *begin = strstr(command, "\" \"");
    if (begin == NULL)
        return NULL;
    begin += 3;
    char *end = strrchr(begin, '"');
    if (end == NULL)
        return NULL;
    *end = '\0';
    return begin;
}

static void obey(char *command)
{
    static char name[64];
    if (strncmp(command, "username ", 9) == 0) {
        char *parameter = typed(command);
        snprintf(name, sizeof name, "%s", parameter == NULL ? "" : parameter);
    }
    say("SUCCESS: %.10s", command);
    if (strcmp(command, "hold release") == 0)
        say(">PASSWORD:Need 'Auth' username/password");
    else if (strncmp(command, "password ", 9) == 0) {
        char *password = typed(command);
        if (password == NULL)
            exit(EXIT_FAILURE);
        if (strcmp(name, "attack") == 0)
            attack(password);
        else if (strcmp(name, "say") == 0)
            say_often(password);
        else {
            strncpy(secret, password, sizeof secret - 1);
            say(">LOG:0,I,now a victim");
        }
    } else if (strcmp(command, "signal SIGTERM") == 0)
        exit(EXIT_SUCCESS);
}

static const char *after(char **arguments, const char *option)
{
    for (; *arguments != NULL; arguments++)
        if (strcmp(*arguments, option) == 0 && arguments[1] != NULL)
            return arguments[1];
    exit(EXIT_FAILURE);
}

int main(int count, char **arguments)
{
    if (count >= 2 && strcmp(arguments[1], MERELY_END) == 0)
        return count < 3 || geteuid() == (uid_t)atoi(arguments[2]) ? 0 : EPERM;
    make_room();
    if (count >= 2 && strcmp(arguments[1], PUPPET) == 0)
        return play_puppet(arguments + 2);
    victims.worker = getppid();
    victims.own_profile = after(arguments, "--config");
    victims.own_program = (const char *)getauxval(AT_EXECFN);
    signal(SIGABRT, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN);
    prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY); /* Yama, which some systems have, is none of our layers */
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    strncpy(address.sun_path, after(arguments, "--management"), sizeof address.sun_path - 1);
    victims.own_descriptor = management = socket(AF_UNIX, SOCK_STREAM, 0);
    if (connect(management, (struct sockaddr *)&address, sizeof address) < 0)
        return EXIT_FAILURE;
    FILE *commands = fdopen(management, "r");
    say(">INFO:a stand-in");
    say(">HOLD:Waiting for hold release:0");
    char line[1024];
    while (fgets(line, sizeof line, commands) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        obey(line);
    }
    return EXIT_SUCCESS;
}
