/*
 * Stands between a program and the C library: what concerns the path in ICEY_CAMERA_DEVICE goes to
 * the camera of webcam.c, all the rest where it always goes. For 64-bit glibc.
 */
#define _GNU_SOURCE
#undef _FORTIFY_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/videodev2.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>

#include "webcam.h"

struct real real;

__attribute__((constructor)) static void find_real(void)
{
    real.open = dlsym(RTLD_NEXT, "open64");
    real.openat = dlsym(RTLD_NEXT, "openat64");
    real.close = dlsym(RTLD_NEXT, "close");
    real.ioctl = dlsym(RTLD_NEXT, "ioctl");
    real.poll = dlsym(RTLD_NEXT, "poll");
    real.fstat = dlsym(RTLD_NEXT, "fstat64");
    real.fstatat = dlsym(RTLD_NEXT, "fstatat64");
}

/* Other libraries' constructors may open files before ours ran. */
static void ready(void)
{
    if (!real.fstatat)
        find_real();
}

static bool is_camera(const char *path)
{
    const char *device = getenv("ICEY_CAMERA_DEVICE");
    return path && device && strcmp(path, device) == 0;
}

int close(int fd)
{
    ready();
    webcam_release(fd);
    return real.close(fd);
}

#define MODE_OF(flags, mode)                           \
    mode_t mode = 0;                                   \
    if ((flags) & (O_CREAT | __O_TMPFILE)) {           \
        va_list rest;                                  \
        va_start(rest, flags);                         \
        mode = va_arg(rest, mode_t);                   \
        va_end(rest);                                  \
    }

int open(const char *path, int flags, ...)
{
    MODE_OF(flags, mode)
    ready();
    return is_camera(path) ? webcam_open(flags) : real.open(path, flags, mode);
}

int openat(int folder, const char *path, int flags, ...)
{
    MODE_OF(flags, mode)
    ready();
    return is_camera(path) ? webcam_open(flags) : real.openat(folder, path, flags, mode);
}

int open64(const char *, int, ...) __attribute__((alias("open")));
int openat64(int, const char *, int, ...) __attribute__((alias("openat")));
int __open_2(const char *path, int flags) { return open(path, flags); }
int __open64_2(const char *path, int flags) { return open(path, flags); }
int __openat_2(int folder, const char *path, int flags) { return openat(folder, path, flags); }
int __openat64_2(int folder, const char *path, int flags) { return openat(folder, path, flags); }

static void look_like_a_device(struct stat *seen)
{
    seen->st_mode = (seen->st_mode & ~S_IFMT) | S_IFCHR;
    seen->st_rdev = makedev(81, 7);
}

int fstat(int fd, struct stat *seen)
{
    ready();
    int result = real.fstat(fd, seen);
    if (result == 0 && webcam_has(fd))
        look_like_a_device(seen);
    return result;
}

int fstatat(int folder, const char *path, struct stat *seen, int flags)
{
    ready();
    if (!is_camera(path))
        return real.fstatat(folder, path, seen, flags);
    if (!webcam_present()) {
        errno = ENOENT;
        return -1;
    }
    int result = real.fstatat(folder, "/dev/null", seen, flags);
    if (result == 0)
        look_like_a_device(seen);
    return result;
}

int stat(const char *path, struct stat *seen) { return fstatat(AT_FDCWD, path, seen, 0); }
int lstat(const char *path, struct stat *seen)
{
    return fstatat(AT_FDCWD, path, seen, AT_SYMLINK_NOFOLLOW);
}
/* On 64-bit systems struct stat64 is struct stat. */
_Static_assert(sizeof(struct stat) == sizeof(struct stat64), "this camera needs a 64-bit system");
int fstat64(int fd, struct stat64 *seen) { return fstat(fd, (struct stat *)seen); }
int stat64(const char *path, struct stat64 *seen) { return stat(path, (struct stat *)seen); }
int lstat64(const char *path, struct stat64 *seen) { return lstat(path, (struct stat *)seen); }
int fstatat64(int folder, const char *path, struct stat64 *seen, int flags)
{
    return fstatat(folder, path, (struct stat *)seen, flags);
}

int poll(struct pollfd *set, nfds_t count, int timeout)
{
    ready();
    if (count == 1 && webcam_has(set->fd))
        return webcam_poll(set, timeout);
    return real.poll(set, count, timeout);
}

int __poll_chk(struct pollfd *set, nfds_t count, int timeout, size_t size)
{
    (void)size;
    return poll(set, count, timeout);
}

int ioctl(int fd, unsigned long request, ...)
{
    va_list rest;
    va_start(rest, request);
    void *data = va_arg(rest, void *);
    va_end(rest);
    ready();
    if (webcam_has(fd))
        return webcam_ioctl(fd, request, data);
    if ((request & 0xffffffff) == VIDIOC_QBUF)
        webcam_late_queue(fd);
    return real.ioctl(fd, request, data);
}
