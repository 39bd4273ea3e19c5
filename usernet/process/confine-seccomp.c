/* SPDX-License-Identifier: MIT */
/*
 * The system calls that are left. The filter is a table: a call is allowed as it is, or if one of
 * its arguments, masked, has one of a few values. All else fails with EPERM; a call of another
 * architecture ends the process.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "usernet/process/confine.h"

#if defined(__x86_64__)
#define ARCHITECTURE AUDIT_ARCH_X86_64
#define FOREIGN_BIT  0x40000000u /* x32 */
#elif defined(__aarch64__)
#define ARCHITECTURE AUDIT_ARCH_AARCH64
#endif

#define PROGRAM_MAX 256
#define VALUES_MAX  4

/* As they are. None of them names a path, a program or another process. */
static const int allowed[] = {
    SYS_read,         SYS_write,           SYS_readv,         SYS_writev,
    SYS_close,        SYS_recvfrom,        SYS_recvmsg,       SYS_sendto,
    SYS_sendmsg,      SYS_accept4,         SYS_bind,          SYS_connect,
    SYS_listen,       SYS_shutdown,        SYS_getsockopt,    SYS_setsockopt,
    SYS_getsockname,  SYS_getpeername,     SYS_dup3,          SYS_epoll_ctl,
    SYS_epoll_pwait,  SYS_ppoll,           SYS_brk,           SYS_munmap,
    SYS_mremap,       SYS_madvise,         SYS_futex,         SYS_getrandom,
    SYS_exit,         SYS_exit_group,      SYS_rt_sigaction,  SYS_rt_sigprocmask,
    SYS_rt_sigreturn, SYS_restart_syscall, SYS_clock_gettime, SYS_gettimeofday,
    SYS_getpid,       SYS_gettid,          SYS_sched_yield,
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

/* Up to two checks a call; both have to hold. Arguments are compared in their lower 32 bits,
 * which is all that the kernel takes of these. */
typedef struct {
    int call;
    int count;
    struct {
        unsigned argument;
        uint32_t mask;
        int count;
        uint32_t values[VALUES_MAX];
    } checks[2];
} Checked;

#define TYPE_MASK (~(uint32_t)(SOCK_CLOEXEC | SOCK_NONBLOCK))

static const Checked checked[] = {
    /* Of TCP, UDP and, where ping_group_range allows it, echo; nothing raw, nothing local. */
    {SYS_socket,
     2,
     {{0, UINT32_MAX, 2, {AF_INET, AF_INET6}}, {1, TYPE_MASK, 2, {SOCK_STREAM, SOCK_DGRAM}}}},
    /* Not who gets signals of a descriptor. */
    {SYS_fcntl, 1, {{1, UINT32_MAX, 4, {F_GETFD, F_SETFD, F_GETFL, F_SETFL}}}},
    {SYS_ioctl, 1, {{1, UINT32_MAX, 2, {FIONBIO, FIONREAD}}}},
    {SYS_mmap, 1, {{2, PROT_EXEC, 1, {0}}}},
    {SYS_mprotect, 1, {{2, PROT_EXEC, 1, {0}}}},
};

typedef struct {
    struct sock_filter code[PROGRAM_MAX];
    unsigned short len;
} Program;

static void emit(Program *program, unsigned code, uint32_t k, unsigned if_true, unsigned if_false) {
    if (program->len < PROGRAM_MAX) {
        program->code[program->len++] =
            (struct sock_filter){(uint16_t)code, (uint8_t)if_true, (uint8_t)if_false, k};
    }
}

static void emit_load(Program *program, size_t offset) {
    emit(program, BPF_LD | BPF_W | BPF_ABS, (uint32_t)offset, 0, 0);
}

static void emit_return(Program *program, uint32_t action) {
    emit(program, BPF_RET | BPF_K, action, 0, 0);
}

static size_t argument_offset(unsigned argument) {
    size_t low = __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__ ? 4 : 0;
    return offsetof(struct seccomp_data, args) + argument * sizeof(uint64_t) + low;
}

/* Goes on behind itself if the argument has one of the values, and else fails. */
static void emit_check(Program *program, unsigned argument, uint32_t mask, const uint32_t *values,
                       int count) {
    emit_load(program, argument_offset(argument));
    emit(program, BPF_ALU | BPF_AND | BPF_K, mask, 0, 0);
    for (int i = 0; i < count; i++) {
        emit(program, BPF_JMP | BPF_JEQ | BPF_K, values[i], (unsigned)(count - i), 0);
    }
    emit_return(program, SECCOMP_RET_ERRNO | EPERM);
}

static void emit_checked(Program *program, const Checked *call, uint32_t pid) {
    Program body = {.len = 0};
    for (int i = 0; i < call->count; i++) {
        emit_check(&body, call->checks[i].argument, call->checks[i].mask, call->checks[i].values,
                   call->checks[i].count);
    }
    if (call->count == 0) {
        emit_check(&body, 0, UINT32_MAX, &pid, 1);
    }
    emit_return(&body, SECCOMP_RET_ALLOW);
    emit(program, BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)call->call, 0, body.len);
    for (unsigned i = 0; i < body.len; i++) {
        emit(program, body.code[i].code, body.code[i].k, body.code[i].jt, body.code[i].jf);
    }
}

static void write_program(Program *program) {
    static const Checked signal_itself = {.call = SYS_tgkill}; /* abort() */
#ifdef ARCHITECTURE
    emit_load(program, offsetof(struct seccomp_data, arch));
    emit(program, BPF_JMP | BPF_JEQ | BPF_K, ARCHITECTURE, 1, 0);
    emit_return(program, SECCOMP_RET_KILL_PROCESS);
#endif
    emit_load(program, offsetof(struct seccomp_data, nr));
#ifdef FOREIGN_BIT
    emit(program, BPF_JMP | BPF_JGE | BPF_K, FOREIGN_BIT, 0, 1);
    emit_return(program, SECCOMP_RET_KILL_PROCESS);
#endif
    for (size_t i = 0; i < sizeof(allowed) / sizeof(allowed[0]); i++) {
        emit(program, BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)allowed[i], 0, 1);
        emit_return(program, SECCOMP_RET_ALLOW);
    }
    for (size_t i = 0; i < sizeof(checked) / sizeof(checked[0]); i++) {
        emit_checked(program, &checked[i], 0);
    }
    emit_checked(program, &signal_itself, (uint32_t)getpid());
    emit_return(program, SECCOMP_RET_ERRNO | EPERM);
}

bool dinv_usernet_confine_seccomp(void) {
#ifndef ARCHITECTURE
    return false;
#else
    Program program = {.len = 0};
    write_program(&program);
    if (program.len >= PROGRAM_MAX) {
        return false;
    }
    struct sock_fprog filter = {program.len, program.code};
    return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter, 0, 0) == 0;
#endif
}
