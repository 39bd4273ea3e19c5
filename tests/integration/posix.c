/* SPDX-License-Identifier: MIT */
/*
 * What a file system does with the calls that programs make: run in the guest on a mount, as root
 * there (test-mounts.py). Each check is a process of its own, in a directory of its own, and has
 * 30 s. The checks are in posix-*.c.
 *
 * Usage: posix DIRECTORY
 * Prints a line for each check: NAME ok, NAME ERRNO-NAME of the call that failed, NAME wrong (no
 * call failed, but the outcome is not what POSIX or Linux has), or NAME hang.
 */
#include "tests/integration/posix.h"

#include <sys/wait.h>

enum { DEADLINE_S = 30 };

static void run_check(const Check *check) {
    int pipes[2];
    int result = WRONG;
    if (mkdir(check->name, 0755) < 0 || pipe(pipes) < 0) {
        printf("%s %s\n", check->name, strerrorname_np(errno));
        return;
    }
    pid_t child = fork();
    if (child == 0) {
        alarm(DEADLINE_S);
        result = chdir(check->name) < 0 ? errno : check->run();
        _exit(write(pipes[1], &result, sizeof result) == (ssize_t)sizeof result ? 0 : 1);
    }
    int status = 0;
    (void)waitpid(child, &status, 0);
    close(pipes[1]);
    if (read(pipes[0], &result, sizeof result) != (ssize_t)sizeof result) {
        printf("%s hang\n", check->name);
    } else if (result == 0 || result == WRONG) {
        printf("%s %s\n", check->name, result == 0 ? "ok" : "wrong");
    } else {
        const char *name = strerrorname_np(result);
        printf("%s %s\n", check->name, name != NULL ? name : "wrong");
    }
    close(pipes[0]);
}

int main(int argc, char **argv) {
    if (argc == 1) {
        return 99; /* the copy that a check runs */
    }
    umask(0022);
    setvbuf(stdout, NULL, _IOLBF, 0); /* nothing waits in the buffer of a child */
    if (chdir(argv[1]) < 0) {
        perror(argv[1]);
        return 1;
    }
    const Check *const tables[] = {name_checks, file_checks, process_checks};
    for (size_t table = 0; table < sizeof tables / sizeof tables[0]; table++) {
        for (const Check *check = tables[table]; check->name != NULL; check++) {
            run_check(check);
        }
    }
    return 0;
}
