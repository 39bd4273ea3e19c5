/* SPDX-License-Identifier: MIT */
/*
 * A program of the guest that knows that its kernel is User-Mode Linux in seccomp mode. There a
 * process of the guest has a page of the kernel's in its memory, the stub, from which system calls
 * go to the host, not to the guest; which ones, a filter decides. This program jumps to such an
 * instruction. What it does is an argument:
 *
 *   find         prints how far above its stack the page is
 *   create PATH  makes a file of the host
 *   kill PID     kills a process of the host
 *
 * It prints what it is about to do. Nothing comes back from the stub: whether it was done has to be
 * seen outside.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define PAGE 4096
/* How far above the stack it is looked for. */
#define PAGES_MAX 8192

static sigjmp_buf back;

static void on_fault(int number) {
    (void)number;
    siglongjmp(back, 1);
}

static uintptr_t stack_end(void) {
    char line[256];
    uintptr_t end = 0;
    FILE *maps = fopen("/proc/self/maps", "re");
    while (maps != NULL && fgets(line, sizeof line, maps) != NULL) {
        char *dash = strchr(line, '-');
        if (dash != NULL && strstr(line, "[stack]") != NULL) {
            end = strtoul(dash + 1, NULL, 16);
        }
    }
    return end;
}

/* The first `syscall` in a page, 0 if there is none or the page cannot be read. */
static uintptr_t find_in_page(uintptr_t page) {
    const volatile unsigned char *bytes = (const volatile unsigned char *)page;
    if (bytes == NULL || sigsetjmp(back, 1) != 0) {
        return 0;
    }
    for (int i = 0; i + 1 < PAGE; i++) {
        if (bytes[i] == 0x0f && bytes[i + 1] == 0x05) {
            return page + (uintptr_t)i;
        }
    }
    return 0;
}

static uintptr_t find_gate(void) {
    struct sigaction action = {.sa_handler = on_fault, .sa_flags = SA_NODEFER};
    (void)sigaction(SIGSEGV, &action, NULL);
    (void)sigaction(SIGBUS, &action, NULL);
    uintptr_t start = stack_end() & ~(uintptr_t)(PAGE - 1);
    for (int i = 0; i < PAGES_MAX; i++) {
        uintptr_t gate = find_in_page(start + (uintptr_t)i * PAGE);
        if (gate != 0) {
            printf("the stub is %d pages above the stack\n", i);
            return gate;
        }
    }
    printf("there is no stub\n");
    exit(1);
}

static _Noreturn void go(uintptr_t gate, long call, long a, long b, long c) {
    (void)fflush(stdout);
    register long mode __asm__("r10") = 0600;
    __asm__ volatile("jmp *%[gate]"
                     :
                     : [gate] "r"(gate), "a"(call), "D"(a), "S"(b), "d"(c), "r"(mode)
                     : "memory", "rcx", "r11");
    __builtin_unreachable();
}

int main(int argc, char **argv) {
    const char *what = argc > 1 ? argv[1] : "";
    const char *operand = argc > 2 ? argv[2] : "";
    uintptr_t gate = find_gate();
    if (strcmp(what, "create") == 0) {
        printf("making %s\n", operand);
        go(gate, SYS_open, (long)operand, O_CREAT | O_WRONLY, 0600);
    }
    if (strcmp(what, "kill") == 0) {
        printf("killing %s\n", operand);
        go(gate, SYS_kill, atol(operand), SIGKILL, 0);
    }
    return strcmp(what, "find") == 0 ? 0 : 1;
}
