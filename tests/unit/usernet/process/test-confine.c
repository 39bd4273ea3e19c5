/* SPDX-License-Identifier: MIT */
/* What a confined process cannot do any more, and that it can do all that the loop needs. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "usernet/process/confine.h"

static int code_of(gboolean failed) {
    return failed ? errno : 0;
}

/* Each returns 0 if it worked, the errno otherwise. */
static int try_open(void) {
    return code_of(open("/dev/null", O_RDONLY) < 0);
}

static int try_create(void) {
    return code_of(open("/tmp/dinv-confine-test", O_CREAT | O_WRONLY, 0600) < 0);
}

static int try_unlink(void) {
    return code_of(unlink("/nonexistent/file") < 0);
}

static int try_exec(void) {
    char *argv[] = {"true", NULL};
    return code_of(execv("/bin/true", argv) < 0);
}

static int try_fork(void) {
    long pid = syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
    if (pid == 0) {
        syscall(SYS_exit_group, 0);
    }
    return code_of(pid < 0);
}

static int try_raw(void) {
    return code_of(socket(AF_INET, SOCK_RAW, IPPROTO_ICMP) < 0);
}

static int try_packet(void) {
    return code_of(socket(AF_PACKET, SOCK_RAW, 0) < 0);
}

static int try_unix(void) {
    return code_of(socket(AF_UNIX, SOCK_STREAM, 0) < 0);
}

static int try_netlink(void) {
    return code_of(socket(AF_NETLINK, SOCK_RAW, 0) < 0);
}

static int try_signal(void) {
    return code_of(kill(getppid(), 0) < 0);
}

static int try_ptrace(void) {
    return code_of(ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0);
}

static int try_code(void) {
    return code_of(mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS,
                        -1, 0) == MAP_FAILED);
}

static int try_owner(void) {
    return code_of(fcntl(0, F_SETOWN, getppid()) < 0);
}

static int try_core(void) {
    struct rlimit limit = {1, 1};
    return code_of(setrlimit(RLIMIT_CORE, &limit) < 0);
}

static int try_memory(void) {
    return code_of(mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
                        0) == MAP_FAILED);
}

static int try_listen(void) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    return code_of(fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
                   listen(fd, 4096) < 0);
}

static int try_datagram(void) {
    return code_of(socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0) < 0 && errno != EAFNOSUPPORT);
}

static const struct {
    const char *name;
    int (*attempt)(void);
    gboolean works;
} attempts[] = {
    {"open a file", try_open, FALSE},
    {"make a file", try_create, FALSE},
    {"remove a file", try_unlink, FALSE},
    {"start a program", try_exec, FALSE},
    {"make a process", try_fork, FALSE},
    {"make a raw socket", try_raw, FALSE},
    {"make a packet socket", try_packet, FALSE},
    {"make a local socket", try_unix, FALSE},
    {"make a netlink socket", try_netlink, FALSE},
    {"signal another process", try_signal, FALSE},
    {"trace", try_ptrace, FALSE},
    {"map executable memory", try_code, FALSE},
    {"have a descriptor signal another process", try_owner, FALSE},
    {"allow core dumps", try_core, FALSE},
    {"get memory", try_memory, TRUE},
    {"listen", try_listen, TRUE},
    {"make a socket of UDP", try_datagram, TRUE},
};

/* In a child, as it is for good. Its exit status is the errno, 255 if the confinement is not
 * whole. */
static int run_confined(int (*attempt)(void)) {
    pid_t pid = fork();
    g_assert_cmpint(pid, >=, 0);
    if (pid == 0) {
        DinvConfinement confinement = dinv_usernet_confine();
        _exit(confinement.seccomp ? attempt() : 255);
    }
    int status;
    g_assert_cmpint(waitpid(pid, &status, 0), ==, pid);
    g_assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void test_seccomp(void) {
    for (gsize i = 0; i < G_N_ELEMENTS(attempts); i++) {
        int error = run_confined(attempts[i].attempt);
        g_test_message("%s: %s", attempts[i].name, g_strerror(error));
        if (error == 255) {
            g_test_skip("the kernel refuses a seccomp filter here");
            return;
        }
        if (attempts[i].works) {
            g_assert_cmpint(error, ==, 0);
        } else {
            g_assert_cmpint(error, ==, EPERM);
        }
    }
}

int main(int argc, char **argv) {
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/usernet/process/confine/seccomp", test_seccomp);
    return g_test_run();
}
