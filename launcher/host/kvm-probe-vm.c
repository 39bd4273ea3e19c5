/* SPDX-License-Identifier: MIT */
/*
 * Theory of operation. The machine has 64 KiB of memory from address 0 and one vCPU that starts in
 * 64-bit mode, as a kernel runs: page tables, GDT and IDT are laid down ready-made, and the
 * registers point to them. The code writes the number of the step it is at into MARKS before each
 * step, so that who watches can tell where it stopped, also when KVM_RUN never comes back. It ends
 * with hlt, which without an interrupt controller is an exit to us. Any exception but the int3 it
 * raises itself goes to a handler that leaves a mark and halts.
 *
 *   0x1000 PML4   0x2000 PDPT   0x3000 page directory (one 2 MiB page, identity)
 *   0x4000 GDT    0x5000 IDT    0x6000 TSS (empty)     0x7000 marks and data
 *   0x8000 code   0x9000 XSAVE area                    0xf000 top of the stack
 *
 * Intel SDM volume 3: 4.5 (paging), 6.14 (64-bit IDT), 13 (XSAVE).
 */
#include "launcher/host/kvm-probe-vm.h"

#ifdef __x86_64__

#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#define PML4        0x1000u
#define PDPT        0x2000u
#define DIRECTORY   0x3000u
#define GDT         0x4000u
#define IDT         0x5000u
#define TSS         0x6000u
#define MARKS       0x7000u
#define CODE        0x8000u
#define STACK       0xf000u
#define CODE_SELECT 0x08u
#define DATA_SELECT 0x10u
#define TSS_SELECT  0x18u

/* Within MARKS. */
#define MARK_STEP  0u
#define MARK_FAULT 4u

#define CR0_BITS    0x80010033u /* PG WP NE ET MP PE */
#define CR4_BITS    0x620u      /* PAE OSFXSR OSXMMEXCPT */
#define CR4_OSXSAVE 0x40000u
#define EFER_BITS   0x500u /* LME LMA */

#define RESULT_OK       0x64696e76u /* "dinv" */
#define CPUID_MAX       256u
#define FIRST_EXCEPTION 0u
#define EXCEPTIONS      32u
#define BREAKPOINT      3u

/* Private addresses that Intel CPUs without "unrestricted guest" want, out of the way of memory. */
#define IDENTITY_MAP_ADDRESS G_GUINT64_CONSTANT(0xfffbc000)
#define TSS_ADDRESS          0xfffbd000u

extern const guint8 dinv_host_kvm_code_begin[];
extern const guint8 dinv_host_kvm_code_handler[];
extern const guint8 dinv_host_kvm_code_fault[];
extern const guint8 dinv_host_kvm_code_end[];

/* Position-independent. r14 comes in as 1 when the CPU has XSAVE; rax goes out as RESULT_OK. */
__asm__(".pushsection .rodata\n"
        ".globl dinv_host_kvm_code_begin, dinv_host_kvm_code_handler\n"
        ".globl dinv_host_kvm_code_fault, dinv_host_kvm_code_end\n"
        "dinv_host_kvm_code_begin:\n"
        /* 1: lock cmpxchg16b exchanges 16 bytes that are as expected */
        "   movl $1, 0x7000\n"
        "   movl $0x7040, %edi\n"
        "   movabs $0x1122334455667788, %rax\n"
        "   movabs $0x99aabbccddeeff00, %rdx\n"
        "   movq %rax, (%rdi)\n"
        "   movq %rdx, 8(%rdi)\n"
        "   movabs $0x0123456789abcdef, %rbx\n"
        "   movabs $0xfedcba9876543210, %rcx\n"
        "   lock cmpxchg16b (%rdi)\n"
        "   jnz 9f\n"
        "   cmpq %rbx, (%rdi)\n"
        "   jne 9f\n"
        "   cmpq %rcx, 8(%rdi)\n"
        "   jne 9f\n"
        /* 2: idiv: -1000000007 = -991080 * 1009 - 287 */
        "   movl $2, 0x7000\n"
        "   movq $-1000000007, %rax\n"
        "   cqto\n"
        "   movl $1009, %ecx\n"
        "   idivq %rcx\n"
        "   cmpq $-991080, %rax\n"
        "   jne 9f\n"
        "   cmpq $-287, %rdx\n"
        "   jne 9f\n"
        /* 3: xsave and xrstor keep an SSE register */
        "   cmpl $1, %r14d\n"
        "   jne 1f\n"
        "   movl $3, 0x7000\n"
        "   xorl %ecx, %ecx\n"
        "   xorl %edx, %edx\n"
        "   movl $3, %eax\n"
        "   xsetbv\n"
        "   movq %rbx, %xmm5\n"
        "   movl $0x9000, %edi\n"
        "   xsave64 (%rdi)\n"
        "   pxor %xmm5, %xmm5\n"
        "   xrstor64 (%rdi)\n"
        "   movq %xmm5, %rax\n"
        "   cmpq %rbx, %rax\n"
        "   jne 9f\n"
        /* 4: int3 goes through the IDT and comes back */
        "1: movl $4, 0x7000\n"
        "   xorl %r12d, %r12d\n"
        "   int3\n"
        "   cmpl $0x33, %r12d\n"
        "   jne 9f\n"
        "   movl $5, 0x7000\n"
        "   movl $0x64696e76, %eax\n"
        "   hlt\n"
        "9: xorl %eax, %eax\n" /* a result was wrong */
        "   hlt\n"
        "   jmp 9b\n"
        "dinv_host_kvm_code_handler:\n"
        "   movl $0x33, %r12d\n"
        "   iretq\n"
        "dinv_host_kvm_code_fault:\n"
        "   movl $1, 0x7004\n"
        "   jmp 9b\n"
        "dinv_host_kvm_code_end:\n"
        ".popsection\n");

static void store64(guint8 *memory, guint32 address, guint64 value) {
    memcpy(memory + address, &value, sizeof value);
}

/* One 64-bit interrupt gate to `handler`, an address in the code as linked. */
static void store_gate(guint8 *memory, guint vector, const guint8 *handler) {
    guint64 offset = CODE + (guint64)(handler - dinv_host_kvm_code_begin);
    guint32 address = IDT + vector * 16;
    store64(memory, address,
            (offset & 0xffff) | (guint64)CODE_SELECT << 16 | G_GUINT64_CONSTANT(0x8e00) << 32 |
                (offset >> 16 & 0xffff) << 48);
    store64(memory, address + 8, offset >> 32);
}

static void lay_out_memory(guint8 *memory) {
    store64(memory, PML4, PDPT | 3);      /* present, writable */
    store64(memory, PDPT, DIRECTORY | 3); /* present, writable */
    store64(memory, DIRECTORY, 0x83);     /* 2 MiB page at 0, present, writable */
    store64(memory, GDT + CODE_SELECT, G_GUINT64_CONSTANT(0x00af9b000000ffff));
    store64(memory, GDT + DATA_SELECT, G_GUINT64_CONSTANT(0x00cf93000000ffff));
    store64(memory, GDT + TSS_SELECT, G_GUINT64_CONSTANT(0x00008b0000000067) | (guint64)TSS << 16);
    for (guint vector = FIRST_EXCEPTION; vector < EXCEPTIONS; vector++) {
        store_gate(memory, vector,
                   vector == BREAKPOINT ? dinv_host_kvm_code_handler : dinv_host_kvm_code_fault);
    }
    memcpy(memory + CODE, dinv_host_kvm_code_begin,
           (gsize)(dinv_host_kvm_code_end - dinv_host_kvm_code_begin));
}

/* Gives the vCPU the host's CPUID and says whether that has XSAVE. 0, or -errno. */
static int set_cpuid(int kvm, int vcpu, gboolean *xsave) {
    static union {
        struct kvm_cpuid2 header;
        guint8 space[sizeof(struct kvm_cpuid2) + CPUID_MAX * sizeof(struct kvm_cpuid_entry2)];
    } cpuid; /* static: too large for comfort on a stack, and this runs once in its process */
    cpuid.header.nent = CPUID_MAX;
    if (ioctl(kvm, KVM_GET_SUPPORTED_CPUID, &cpuid) < 0) {
        return -errno;
    }
    *xsave = FALSE;
    for (guint32 i = 0; i < cpuid.header.nent && i < CPUID_MAX; i++) {
        if (cpuid.header.entries[i].function == 1) {
            *xsave = (cpuid.header.entries[i].ecx & (1u << 26)) != 0;
        }
    }
    return ioctl(vcpu, KVM_SET_CPUID2, &cpuid) < 0 ? -errno : 0;
}

static void set_segment(struct kvm_segment *segment, guint16 selector, guint8 type,
                        gboolean is_code) {
    *segment = (struct kvm_segment){
        .limit = 0xffffffff,
        .selector = selector,
        .type = type,
        .present = 1,
        .db = is_code ? 0 : 1,
        .s = 1,
        .l = is_code ? 1 : 0,
        .g = 1,
    };
}

/* 64-bit mode, interrupts off, at the code. 0, or -errno. */
static int set_registers(int vcpu, gboolean xsave) {
    struct kvm_sregs system;
    struct kvm_regs general = {.rip = CODE, .rsp = STACK, .rflags = 2, .r14 = xsave ? 1 : 0};
    struct kvm_xcrs extended = {.nr_xcrs = 1, .xcrs = {{.xcr = 0, .value = 3}}};
    if (ioctl(vcpu, KVM_GET_SREGS, &system) < 0) {
        return -errno;
    }
    set_segment(&system.cs, CODE_SELECT, 0xb, TRUE);
    set_segment(&system.ds, DATA_SELECT, 3, FALSE);
    system.es = system.fs = system.gs = system.ss = system.ds;
    system.tr = (struct kvm_segment){
        .base = TSS, .limit = 0x67, .selector = TSS_SELECT, .type = 0xb, .present = 1};
    system.ldt = (struct kvm_segment){.unusable = 1};
    system.gdt = (struct kvm_dtable){.base = GDT, .limit = TSS_SELECT + 15};
    system.idt = (struct kvm_dtable){.base = IDT, .limit = EXCEPTIONS * 16 - 1};
    system.cr0 = CR0_BITS;
    system.cr3 = PML4;
    system.cr4 = CR4_BITS | (xsave ? CR4_OSXSAVE : 0);
    system.efer = EFER_BITS;
    /* The guest sets it again. KVM must know of it before on an emulated CPU, whose SVM lets the
     * guest's xsetbv through unseen (QEMU's); where this is not supported, the guest's does it. */
    if (xsave) {
        (void)ioctl(vcpu, KVM_SET_XCRS, &extended);
    }
    if (ioctl(vcpu, KVM_SET_SREGS, &system) < 0 || ioctl(vcpu, KVM_SET_REGS, &general) < 0) {
        return -errno;
    }
    return 0;
}

/* Notes what KVM_RUN came back with. */
static void note_exit(const struct kvm_run *run, volatile DinvHostKvmObservation *seen) {
    seen->exit_reason = run->exit_reason;
    if (run->exit_reason == KVM_EXIT_INTERNAL_ERROR) {
        seen->exit_detail = run->internal.suberror;
    } else if (run->exit_reason == KVM_EXIT_FAIL_ENTRY) {
        seen->exit_detail = (guint32)run->fail_entry.hardware_entry_failure_reason;
    }
    seen->exited = TRUE;
}

/* From a vCPU to the verdict. 0, or -errno. */
static int run_vcpu(int kvm, int vcpu, volatile DinvHostKvmObservation *seen) {
    int size = ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
    seen->stage = DINV_HOST_KVM_STAGE_REGISTERS;
    if (size < (int)sizeof(struct kvm_run)) {
        return size < 0 ? -errno : -EPROTO;
    }
    const struct kvm_run *run =
        mmap(NULL, (gsize)size, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu, 0);
    if (run == MAP_FAILED) {
        return -errno;
    }
    gboolean xsave = FALSE;
    int result = set_cpuid(kvm, vcpu, &xsave);
    if (result == 0) {
        result = set_registers(vcpu, xsave);
    }
    if (result < 0) {
        return result;
    }
    result = ioctl(vcpu, KVM_GET_TSC_KHZ, 0);
    seen->tsc_khz = result > 0 ? (guint)result : 0;

    seen->stage = DINV_HOST_KVM_STAGE_RUN;
    do {
        result = ioctl(vcpu, KVM_RUN, 0);
    } while (result < 0 && errno == EINTR);
    if (result < 0) {
        return -errno;
    }
    note_exit(run, seen);
    if (run->exit_reason != KVM_EXIT_HLT) {
        return 0;
    }
    seen->stage = DINV_HOST_KVM_STAGE_RESULT;
    struct kvm_regs registers;
    if (ioctl(vcpu, KVM_GET_REGS, &registers) < 0) {
        return -errno;
    }
    if (registers.rax == RESULT_OK && registers.r12 == 0x33 && registers.rsp == STACK) {
        seen->stage = DINV_HOST_KVM_STAGE_DONE;
    }
    return 0;
}

/* From an open /dev/kvm on. 0, or -errno. Descriptors and mappings end with the process. */
static int run_machine(int kvm, guint8 *guest_memory, volatile DinvHostKvmObservation *seen) {
    struct kvm_userspace_memory_region region = {.memory_size = DINV_HOST_KVM_GUEST_MEMORY,
                                                 .userspace_addr = (guintptr)guest_memory};
    guint64 identity_map = IDENTITY_MAP_ADDRESS;
    seen->stage = DINV_HOST_KVM_STAGE_VERSION;
    seen->version = ioctl(kvm, KVM_GET_API_VERSION, 0);
    if (seen->version != KVM_API_VERSION) {
        return seen->version < 0 ? -errno : 0;
    }
    seen->stage = DINV_HOST_KVM_STAGE_CREATE_VM;
    int machine;
    do { /* interrupted by signals under load */
        machine = ioctl(kvm, KVM_CREATE_VM, 0);
    } while (machine < 0 && errno == EINTR);
    if (machine < 0) {
        return -errno;
    }
    seen->stage = DINV_HOST_KVM_STAGE_MEMORY;
    lay_out_memory(guest_memory);
    /* Not every CPU has these two; where they are needed and missing, the run fails. */
    (void)ioctl(machine, KVM_SET_IDENTITY_MAP_ADDR, &identity_map);
    (void)ioctl(machine, KVM_SET_TSS_ADDR, (unsigned long)TSS_ADDRESS);
    if (ioctl(machine, KVM_SET_USER_MEMORY_REGION, &region) < 0) {
        return -errno;
    }
    seen->stage = DINV_HOST_KVM_STAGE_CREATE_VCPU;
    int vcpu = ioctl(machine, KVM_CREATE_VCPU, 0);
    if (vcpu < 0) {
        return -errno;
    }
    return run_vcpu(kvm, vcpu, seen);
}

void dinv_host_kvm_run_test(const char *device, guint8 *guest_memory,
                            volatile DinvHostKvmObservation *seen) {
    int kvm = open(device, O_RDWR | O_CLOEXEC);
    seen->stage = DINV_HOST_KVM_STAGE_OPEN;
    int result = kvm < 0 ? -errno : run_machine(kvm, guest_memory, seen);
    seen->error = -result;
}

void dinv_host_kvm_read_marks(const guint8 *guest_memory, DinvHostKvmObservation *seen) {
    memcpy(&seen->step, guest_memory + MARKS + MARK_STEP, sizeof seen->step);
    guint32 fault;
    memcpy(&fault, guest_memory + MARKS + MARK_FAULT, sizeof fault);
    seen->fault = fault != 0;
}

#else

#include <errno.h>

void dinv_host_kvm_run_test(const char *device G_GNUC_UNUSED, guint8 *guest_memory G_GNUC_UNUSED,
                            volatile DinvHostKvmObservation *seen) {
    seen->stage = DINV_HOST_KVM_STAGE_CREATE_VCPU; /* the guest is x86-64, this machine is not */
    seen->error = ENOTSUP;
}

void dinv_host_kvm_read_marks(const guint8 *guest_memory G_GNUC_UNUSED,
                              DinvHostKvmObservation *seen G_GNUC_UNUSED) {
}

#endif
