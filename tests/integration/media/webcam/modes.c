/*
 * The folder that the camera of webcam.c lives in: its modes, its states, its log.
 *
 * The environment says where it is: ICEY_CAMERA_DEVICE is the path (which need not exist),
 * ICEY_CAMERA_FOLDER a folder with
 *
 *   modes              a line each: fourcc, width, height, then rates in frames a second
 *   FOURCC-WxH         the pictures of that mode, shown one after the other, round and round;
 *                      each is its length in bytes (32 bits, host order) and its bytes
 *   unplugged          while it is there, the camera is not
 *   frozen             while it is there, no picture comes
 *   damaged            while it is there, every second picture is flagged as corrupt, picture 0 too,
 *                      as those are of which the USB bus lost a part
 *   corrupt            while it is there, all are
 *   forbidden          while it is there, it may not be opened
 *   metadata           while it is there, this is the camera's second node, which has no pictures
 *   silent             while it is there, it does not tell its sizes and rates, as old drivers
 *   lock               held by who streams, in whatever process
 *   log                what it was asked: "open", "stream FOURCC WxH RATE BUFFERS MS" (MS: wall
 *                      clock, ms, at which picture 0 began), "stop", "close", and "late-queue"
 *                      where a buffer was given back after the camera was closed
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "webcam.h"

void place(char *path, size_t size, const char *name)
{
    const char *folder = getenv("ICEY_CAMERA_FOLDER");
    snprintf(path, size, "%s/%s", folder ? folder : "/nonexistent", name);
}

bool is_there(const char *name)
{
    char path[4096];
    struct stat unused;
    place(path, sizeof path, name);
    return real.fstatat(AT_FDCWD, path, &unused, 0) == 0;
}

void note(const char *format, ...)
{
    char path[4096], line[256];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    place(path, sizeof path, "log");
    int fd = real.open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (fd >= 0) {
        if (write(fd, line, length) != length)
            abort();
        real.close(fd);
    }
}

unsigned read_modes(struct mode *modes)
{
    char path[4096], line[256], fourcc[5];
    unsigned count = 0;
    place(path, sizeof path, "modes");
    int fd = real.open(path, O_RDONLY | O_CLOEXEC);
    FILE *file = fd < 0 ? NULL : fdopen(fd, "r");
    if (!file)
        return 0;
    while (count < MODES && fgets(line, sizeof line, file)) {
        struct mode *mode = &modes[count];
        int used = 0;
        memset(mode, 0, sizeof *mode);
        if (sscanf(line, "%4s %u %u%n", fourcc, &mode->width, &mode->height, &used) != 3)
            continue;
        mode->format = v4l2_fourcc(fourcc[0], fourcc[1], fourcc[2], fourcc[3]);
        for (char *rest = line + used; mode->rate_count < RATES; mode->rate_count++) {
            char *end;
            mode->rates[mode->rate_count] = strtoul(rest, &end, 10);
            if (end == rest)
                break;
            rest = end;
        }
        count++;
    }
    fclose(file);
    return count;
}

bool compressed(uint32_t format)
{
    return format == V4L2_PIX_FMT_MJPEG || format == V4L2_PIX_FMT_H264;
}

int fail(int error)
{
    errno = error;
    return -1;
}

int enumerate_formats(struct v4l2_fmtdesc *asked)
{
    struct mode modes[MODES];
    unsigned count = read_modes(modes), found = 0;
    for (unsigned i = 0; i < count; i++) {
        bool seen = false;
        for (unsigned before = 0; before < i; before++)
            seen = seen || modes[before].format == modes[i].format;
        if (seen || found++ != asked->index)
            continue;
        asked->pixelformat = modes[i].format;
        asked->flags = compressed(modes[i].format) ? V4L2_FMT_FLAG_COMPRESSED : 0;
        memset(asked->description, 0, sizeof asked->description);
        memcpy(asked->description, &modes[i].format, 4);
        return 0;
    }
    return fail(EINVAL);
}

int enumerate_sizes(struct v4l2_frmsizeenum *asked)
{
    struct mode modes[MODES];
    unsigned count = read_modes(modes), found = 0;
    if (is_there("silent"))
        return fail(ENOTTY);
    for (unsigned i = 0; i < count; i++) {
        if (modes[i].format != asked->pixel_format || found++ != asked->index)
            continue;
        asked->type = V4L2_FRMSIZE_TYPE_DISCRETE;
        asked->discrete.width = modes[i].width;
        asked->discrete.height = modes[i].height;
        return 0;
    }
    return fail(EINVAL);
}

int enumerate_intervals(struct v4l2_frmivalenum *asked)
{
    struct mode modes[MODES];
    unsigned count = read_modes(modes);
    if (is_there("silent"))
        return fail(ENOTTY);
    for (unsigned i = 0; i < count; i++) {
        if (modes[i].format != asked->pixel_format || modes[i].width != asked->width ||
            modes[i].height != asked->height || asked->index >= modes[i].rate_count)
            continue;
        asked->type = V4L2_FRMIVAL_TYPE_DISCRETE;
        asked->discrete.numerator = 1;
        asked->discrete.denominator = modes[i].rates[asked->index];
        return 0;
    }
    return fail(EINVAL);
}
