// Denies AMX to the process that preloads this, and ends it with status 86 if it got AMX all the same.
//
// The machines that measure have AMX, the gateways that people wear have not. A program must ask the kernel
// for the tile registers before it may use them; engines do so with syscall(2). Whoever asks without libc
// is caught at the end.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

// Linux, arch/x86/include/uapi/asm/prctl.h.
#define ARCH_GET_XCOMP_PERM 0x1022
#define ARCH_REQ_XCOMP_PERM 0x1023
#define XTILE_DATA 18

typedef long (*syscall_fn)(long, ...);

static long real_syscall(long number, long a, long b, long c, long d, long e, long f) {
    static syscall_fn real;
    if (!real) real = (syscall_fn)dlsym(RTLD_NEXT, "syscall");
    return real(number, a, b, c, d, e, f);
}

long syscall(long number, ...) {
    va_list rest;
    va_start(rest, number);
    long a = va_arg(rest, long), b = va_arg(rest, long), c = va_arg(rest, long);
    long d = va_arg(rest, long), e = va_arg(rest, long), f = va_arg(rest, long);
    va_end(rest);
#ifdef SYS_arch_prctl
    if (number == SYS_arch_prctl && a == ARCH_REQ_XCOMP_PERM) {
        errno = EPERM;
        return -1;
    }
#endif
    return real_syscall(number, a, b, c, d, e, f);
}

__attribute__((destructor)) static void refuse_amx(void) {
#ifdef SYS_arch_prctl
    unsigned long granted = 0;
    if (real_syscall(SYS_arch_prctl, ARCH_GET_XCOMP_PERM, (long)&granted, 0, 0, 0, 0) == 0 &&
        (granted >> XTILE_DATA & 1)) {
        fputs("this process may use AMX: it is not comparable\n", stderr);
        _exit(86);
    }
#endif
}
