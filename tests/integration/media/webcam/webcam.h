/* The camera that preload.c puts in the place of a device; modes.c says where it lives. */
#ifndef WEBCAM_H
#define WEBCAM_H

#include <linux/videodev2.h>
#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

/* The names in here must not come in front of those of other libraries. */
#pragma GCC visibility push(hidden)

/* The C library's own functions, which preload.c stands in front of. */
struct real {
    int (*open)(const char *, int, ...);
    int (*openat)(int, const char *, int, ...);
    int (*close)(int);
    int (*ioctl)(int, unsigned long, ...);
    int (*poll)(struct pollfd *, nfds_t, int);
    int (*fstat)(int, struct stat *);
    int (*fstatat)(int, const char *, struct stat *, int);
};
extern struct real real;

/* Like the functions of these names; -1 and errno where they fail. */
int webcam_open(int flags);
int webcam_ioctl(int fd, unsigned long request, void *data);
int webcam_poll(struct pollfd *polled, int timeout);

/* Whether it is plugged in. */
bool webcam_present(void);

/* Whether this descriptor is an open one of the camera. */
bool webcam_has(int fd);

/* Frees what belongs to a descriptor, before it is really closed; harmless for others. */
void webcam_release(int fd);

/* Notes that a buffer is given back by a descriptor that is closed. */
void webcam_late_queue(int fd);

/* -- modes.c: the folder in ICEY_CAMERA_FOLDER -- */

#define RATES 8
#define MODES 64

struct mode {
    uint32_t format, width, height;
    unsigned rates[RATES];
    unsigned rate_count;
};

/* Sets errno, returns -1. */
int fail(int error);

/* The path of a file in the folder. */
void place(char *path, size_t size, const char *name);

/* Whether the camera is in this state. */
bool is_there(const char *state);

/* Writes a line, with its end, into the log. */
void note(const char *format, ...);

/* Fills up to MODES modes, returns how many there are. */
unsigned read_modes(struct mode *modes);

bool compressed(uint32_t format);
int enumerate_formats(struct v4l2_fmtdesc *asked);
int enumerate_sizes(struct v4l2_frmsizeenum *asked);
int enumerate_intervals(struct v4l2_frmivalenum *asked);

#pragma GCC visibility pop

#endif
