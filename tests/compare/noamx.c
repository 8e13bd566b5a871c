// Denies AMX to the process that preloads this, and ends it with status 86 if it got AMX all the same.
//
// The machines that measure have AMX, the gateways that people wear have not. A program must ask the kernel
// for the tile registers before it may use them. The kernel itself says no: engines ask through libc
// (onnxruntime, OpenVINO) and past it, with an instruction of their own (tract).
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined(__x86_64__)

// Linux, arch/x86/include/uapi/asm/prctl.h.
#define ARCH_GET_XCOMP_PERM 0x1022
#define ARCH_REQ_XCOMP_PERM 0x1023
#define XTILE_DATA 18

static void refuse(const char *why) {
    fprintf(stderr, "%s: not comparable\n", why);
    _exit(86);
}

__attribute__((constructor)) static void deny_amx(void) {
    struct sock_filter steps[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_arch_prctl, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[0])),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ARCH_REQ_XCOMP_PERM, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof steps / sizeof *steps, steps};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program))
        refuse("AMX cannot be denied here");
}

__attribute__((destructor)) static void refuse_amx(void) {
    unsigned long granted = 0;
    if (syscall(SYS_arch_prctl, ARCH_GET_XCOMP_PERM, &granted) == 0 && (granted >> XTILE_DATA & 1))
        refuse("this process may use AMX");
}

#endif
