/* SPDX-License-Identifier: MIT */
/* The system calls, and the one capability, that the loop needs. */
#include "usernet/process/confine.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <stdbool.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#define PORT_START "/proc/sys/net/ipv4/ip_unprivileged_port_start"

/* As they are. None of them names a path, a program or another process. sigaltstack is what
 * AddressSanitizer calls at each exit: the tests run confined under it, too. */
static const int calls[] = {
    SYS_read,         SYS_write,           SYS_readv,         SYS_writev,
    SYS_close,        SYS_recvfrom,        SYS_recvmsg,       SYS_sendto,
    SYS_sendmsg,      SYS_accept4,         SYS_bind,          SYS_connect,
    SYS_listen,       SYS_shutdown,        SYS_getsockopt,    SYS_setsockopt,
    SYS_getsockname,  SYS_getpeername,     SYS_dup3,          SYS_epoll_ctl,
    SYS_epoll_pwait,  SYS_ppoll,           SYS_brk,           SYS_munmap,
    SYS_mremap,       SYS_madvise,         SYS_futex,         SYS_getrandom,
    SYS_exit,         SYS_exit_group,      SYS_rt_sigaction,  SYS_rt_sigprocmask,
    SYS_rt_sigreturn, SYS_restart_syscall, SYS_clock_gettime, SYS_gettimeofday,
    SYS_getpid,       SYS_gettid,          SYS_sched_yield,   SYS_sigaltstack,
#ifdef SYS_epoll_wait
    SYS_epoll_wait,
#endif
#ifdef SYS_poll
    SYS_poll,
#endif
#ifdef SYS_time
    SYS_time,
#endif
};

#define TYPE_MASK (~(uint32_t)(SOCK_CLOEXEC | SOCK_NONBLOCK))

static const DinvConfineRule rules[] = {
    /* Of TCP, UDP and, where ping_group_range allows it, echo; nothing raw, nothing local. */
    {.call = SYS_socket,
     .count = 2,
     .checks =
         {{.argument = 0, .mask = UINT32_MAX, .count = 2, .values = {AF_INET, AF_INET6}},
          {.argument = 1, .mask = TYPE_MASK, .count = 2, .values = {SOCK_STREAM, SOCK_DGRAM}}}},
    /* Not who gets signals of a descriptor. */
    {.call = SYS_fcntl,
     .count = 1,
     .checks = {{.argument = 1,
                 .mask = UINT32_MAX,
                 .count = 4,
                 .values = {F_GETFD, F_SETFD, F_GETFL, F_SETFL}}}},
    {.call = SYS_ioctl,
     .count = 1,
     .checks = {{.argument = 1, .mask = UINT32_MAX, .count = 2, .values = {FIONBIO, FIONREAD}}}},
    {.call = SYS_mmap,
     .count = 1,
     .checks = {{.argument = 2, .mask = PROT_EXEC, .count = 1, .values = {0}}}},
    {.call = SYS_mprotect,
     .count = 1,
     .checks = {{.argument = 2, .mask = PROT_EXEC, .count = 1, .values = {0}}}},
    /* abort() */
    {.call = SYS_tgkill, .count = 1, .checks = {{.kind = DINV_CONFINE_SELF, .argument = 0}}},
};

static const DinvConfineTable table = {
    .calls = calls,
    .call_count = sizeof(calls) / sizeof(calls[0]),
    .rules = rules,
    .rule_count = sizeof(rules) / sizeof(rules[0]),
};

/* Whether ports below 1024 need a capability here; yes, where that cannot be found out. */
static bool are_low_ports_privileged(void) {
    char text[16] = "";
    int fd = open(PORT_START, O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        ssize_t len = read(fd, text, sizeof(text) - 1);
        text[len > 0 ? len : 0] = '\0';
        (void)close(fd);
    }
    return strcmp(text, "0\n") != 0;
}

DinvConfinement dinv_usernet_confine(void) {
    static const DinvConfineTable *const tables[] = {&table};
    const DinvConfinePlan plan = {
        .capabilities = are_low_ports_privileged() ? UINT64_C(1) << CAP_NET_BIND_SERVICE : 0,
        .tables = tables,
        .table_count = 1,
    };
    DinvConfinement confinement = dinv_confine(&plan);
    /* The filter leaves no signal and no local socket, so this says nothing more. */
    confinement.scope = false;
    return confinement;
}
