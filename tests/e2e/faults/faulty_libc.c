/* A C library with faults, preloaded into every process of a run: what NFS, quotas and set clocks do.
 *
 * The file named by FAULTY_LIBC holds one word per fault, and is read at each call, so that a test can turn faults on
 * and off while the run lives:
 *   fsync=ERRNO   fsync and fdatasync fail
 *   flock=ERRNO   flock fails
 *   fork=ERRNO    fork fails
 *   open=ERRNO    each file below FAULTY_FOLDER fails to open the first time that a process asks for it
 *   write=ERRNO   writing to files below FAULTY_FOLDER fails
 *   clock=SECONDS the wall clock is off by so much; the monotonic one is not
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define REAL(result, name, ...) result (*real)(__VA_ARGS__) = (result (*)(__VA_ARGS__))dlsym(RTLD_NEXT, name)

/* Returns the number behind `fault=`, 0 where the fault is off. */
static long fault(const char *name) {
    const char *path = getenv("FAULTY_LIBC");
    char text[256];
    int kept = errno;
    long found = 0;
    if (!path) return 0;
    int file = syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC);
    if (file >= 0) {
        ssize_t size = syscall(SYS_read, file, text, sizeof text - 1);
        syscall(SYS_close, file);
        text[size > 0 ? size : 0] = 0;
        for (char *word = strtok(text, " \n"); word; word = strtok(NULL, " \n")) {
            size_t length = strlen(name);
            if (!strncmp(word, name, length) && word[length] == '=') found = atol(word + length + 1);
        }
    }
    errno = kept;
    return found;
}

static int fails(const char *name) {
    long number = fault(name);
    if (number) errno = (int)number;
    return number != 0;
}

static int is_below(const char *path) {
    const char *folder = getenv("FAULTY_FOLDER");
    return folder && path && !strncmp(path, folder, strlen(folder));
}

int fsync(int file) {
    REAL(int, "fsync", int);
    return fails("fsync") ? -1 : real(file);
}

int fdatasync(int file) {
    REAL(int, "fdatasync", int);
    return fails("fsync") ? -1 : real(file);
}

int flock(int file, int operation) {
    REAL(int, "flock", int, int);
    return fails("flock") ? -1 : real(file, operation);
}

pid_t fork(void) {
    REAL(pid_t, "fork", void);
    return fails("fork") ? -1 : real();
}

ssize_t write(int file, const void *bytes, size_t count) {
    REAL(ssize_t, "write", int, const void *, size_t);
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t size = readlink(link, path, sizeof path - 1);
    path[size > 0 ? size : 0] = 0;
    return is_below(path) && fails("write") ? -1 : real(file, bytes, count);
}

/* Whether this process asks for a path for the first time. */
static int is_new(const char *path) {
    static char *seen[4096];
    static int count;
    for (int at = 0; at < count; at++)
        if (!strcmp(seen[at], path)) return 0;
    if (count < 4096) seen[count++] = strdup(path);
    return 1;
}

#define OPEN(name)                                                          \
    int name(const char *path, int flags, ...) {                            \
        REAL(int, #name, const char *, int, ...);                           \
        va_list rest;                                                       \
        va_start(rest, flags);                                              \
        int mode = va_arg(rest, int);                                       \
        va_end(rest);                                                       \
        if (is_below(path) && !(flags & (O_CREAT | O_DIRECTORY)) && fault("open") && is_new(path) && fails("open")) return -1; \
        return real(path, flags, mode);                                     \
    }
OPEN(open)
OPEN(open64)

int clock_gettime(clockid_t clock, struct timespec *now) {
    int failed = (int)syscall(SYS_clock_gettime, clock, now);
    if (!failed && clock == CLOCK_REALTIME) now->tv_sec += fault("clock");
    return failed;
}
