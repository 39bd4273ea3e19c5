/* SPDX-License-Identifier: MIT */
/*
 * Tables to a program. First all calls become entries, sorted by number; each entry is a run of
 * calls that are left as they are, or the rules of one call. The program then finds the entry of a
 * number by halves.
 */
#include "confine/filter.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdbool.h>
#include <sys/prctl.h>
#include <unistd.h>

#if defined(__x86_64__)
#define ARCHITECTURE AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define ARCHITECTURE AUDIT_ARCH_AARCH64
#else
#define ARCHITECTURE 0u /* not known here */
#endif

#define PROGRAM_MAX 1024
#define ENTRIES_MAX 192
#define JUMP_MAX    255

/* The calls first to last, of which none has a rule, or all the rules of one call. */
typedef struct {
    uint32_t first, last;
    const DinvConfineRule *rules; /* NULL: all of them are left */
    size_t rule_count;
} Entry;

typedef struct {
    struct sock_filter code[PROGRAM_MAX];
    unsigned len;
    Entry entries[ENTRIES_MAX];
    size_t entry_count;
    bool is_too_large;
    uint32_t self, parent;
} Program;

/* ---- entries ---- */

/* Keeps them sorted, and makes neighbours one. */
static void add_entry(Program *program, const Entry *entry) {
    if (program->entry_count == ENTRIES_MAX) {
        program->is_too_large = true;
        return;
    }
    size_t at = program->entry_count++;
    for (; at > 0 && program->entries[at - 1].first > entry->first; at--) {
        program->entries[at] = program->entries[at - 1];
    }
    program->entries[at] = *entry;
}

static void join_neighbours(Program *program) {
    size_t kept = 0;
    for (size_t i = 1; i < program->entry_count; i++) {
        Entry *last = &program->entries[kept];
        const Entry *next = &program->entries[i];
        if (last->rules == NULL && next->rules == NULL && next->first <= last->last + 1) {
            last->last = next->last;
        } else {
            program->entries[++kept] = *next;
        }
    }
    program->entry_count = program->entry_count > 0 ? kept + 1 : 0;
}

static void add_table(Program *program, const DinvConfineTable *table) {
    for (size_t i = 0; i < table->call_count; i++) {
        uint32_t call = (uint32_t)table->calls[i];
        add_entry(program, &(Entry){.first = call, .last = call});
    }
    for (size_t i = 0; i < table->rule_count;) {
        const DinvConfineRule *rules = &table->rules[i];
        size_t count = 1;
        while (i + count < table->rule_count && rules[count].call == rules->call) {
            count++;
        }
        uint32_t call = (uint32_t)rules->call;
        add_entry(program,
                  &(Entry){.first = call, .last = call, .rules = rules, .rule_count = count});
        i += count;
    }
}

/* ---- instructions ---- */

static void emit(Program *program, unsigned code, uint32_t k, unsigned if_true, unsigned if_false) {
    if (program->len == PROGRAM_MAX || if_true > JUMP_MAX || if_false > JUMP_MAX) {
        program->is_too_large = true;
        return;
    }
    program->code[program->len++] =
        (struct sock_filter){(uint16_t)code, (uint8_t)if_true, (uint8_t)if_false, k};
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

/* How many instructions emit_check() makes. */
static unsigned check_length(const DinvConfineCheck *check) {
    return check->kind == DINV_CONFINE_ONE_OF ? (unsigned)check->count + 3 : 3;
}

/* Goes on behind itself if the check holds, and else `skip` instructions further. */
static void emit_check(Program *program, const DinvConfineCheck *check, unsigned skip) {
    emit_load(program, argument_offset(check->argument));
    if (check->kind == DINV_CONFINE_SELF) {
        emit(program, BPF_JMP | BPF_JEQ | BPF_K, program->self, 1, 0);
    } else if (check->kind == DINV_CONFINE_NOT_PARENT) {
        emit(program, BPF_JMP | BPF_JEQ | BPF_K, program->parent, 0, 1);
    } else {
        emit(program, BPF_ALU | BPF_AND | BPF_K, check->mask, 0, 0);
        for (int i = 0; i < check->count; i++) {
            emit(program, BPF_JMP | BPF_JEQ | BPF_K, check->values[i], (unsigned)(check->count - i),
                 0);
        }
    }
    emit(program, BPF_JMP | BPF_JA, skip, 0, 0);
}

static void emit_rule(Program *program, const DinvConfineRule *rule) {
    unsigned rest = 1; /* its last instruction allows */
    for (int i = 0; i < rule->count; i++) {
        rest += check_length(&rule->checks[i]);
    }
    for (int i = 0; i < rule->count; i++) {
        rest -= check_length(&rule->checks[i]);
        emit_check(program, &rule->checks[i], rest);
    }
    if (rule->count > 0) {
        emit_return(program, SECCOMP_RET_ALLOW);
    }
}

static void emit_refusal(Program *program, int error) {
    emit_return(program, SECCOMP_RET_ERRNO | (error != 0 ? (uint32_t)error : EPERM));
}

/* The number is within the entry, or between its neighbours. */
static void emit_entry(Program *program, const Entry *entry) {
    emit(program, BPF_JMP | BPF_JGE | BPF_K, entry->first, 0, 1);
    emit(program, BPF_JMP | BPF_JGT | BPF_K, entry->last, 0, 1);
    emit_refusal(program, 0);
    if (entry->rules == NULL) {
        emit_return(program, SECCOMP_RET_ALLOW);
        return;
    }
    for (size_t i = 0; i < entry->rule_count; i++) {
        emit_rule(program, &entry->rules[i]);
    }
    emit_refusal(program, entry->rules[entry->rule_count - 1].error);
}

/* The entries from first on: half of them behind the other half. The jump over the first half is
 * long, so it is one of its own, whose distance is known afterwards. */
static void emit_tree(Program *program, size_t first, size_t count) {
    if (count == 1) {
        emit_entry(program, &program->entries[first]);
        return;
    }
    size_t half = count / 2;
    emit(program, BPF_JMP | BPF_JGE | BPF_K, program->entries[first + half].first, 0, 1);
    unsigned jump = program->len;
    emit(program, BPF_JMP | BPF_JA, 0, 0, 0);
    emit_tree(program, first, half);
    if (!program->is_too_large) {
        program->code[jump].k = program->len - jump - 1;
    }
    emit_tree(program, first + half, count - half);
}

static void write_program(Program *program) {
    emit_load(program, offsetof(struct seccomp_data, arch));
    emit(program, BPF_JMP | BPF_JEQ | BPF_K, ARCHITECTURE, 1, 0);
    emit_refusal(program, 0);
    /* The calls of x32 have numbers above all those of a table. */
    emit_load(program, offsetof(struct seccomp_data, nr));
    if (program->entry_count > 0) {
        emit_tree(program, 0, program->entry_count);
    } else {
        emit_refusal(program, 0);
    }
}

int dinv_confine_filter(const DinvConfineTable *const *tables, size_t count) {
    if (ARCHITECTURE == 0u) {
        return -ENOSYS;
    }
    Program program = {.self = (uint32_t)getpid(), .parent = (uint32_t)getppid()};
    for (size_t i = 0; i < count; i++) {
        add_table(&program, tables[i]);
    }
    join_neighbours(&program);
    write_program(&program);
    if (program.is_too_large) {
        return -E2BIG;
    }
    struct sock_fprog filter = {(unsigned short)program.len, program.code};
    return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter, 0, 0) == 0 ? 0 : -errno;
}
