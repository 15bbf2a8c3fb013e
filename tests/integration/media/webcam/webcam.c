/*
 * A webcam for tests: loaded by LD_PRELOAD (preload.c), it answers what a program asks of one
 * device path, as the kernel's uvcvideo does for a USB camera. Machines that build and test have no
 * camera and no right to load vivid; with this, FFmpeg's real V4L2 code runs.
 *
 * Open files are memfds, so that mmap really maps the buffers. Pictures are made when somebody
 * looks: a picture that is due takes the oldest queued buffer, and is lost where there is none.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/videodev2.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "webcam.h"

#define HANDLES 8
#define BUFFERS 32 /* VIDEO_MAX_FRAME */
#define SECOND 1000000000LL

struct done {
    unsigned index, sequence;
    bool damaged;
    int64_t at;
};

struct handle {
    bool used;
    int fd;
    int lock;
    struct mode mode;
    unsigned rate;
    bool streaming;
    size_t length; /* of a buffer */
    unsigned count;
    uint8_t *memory;
    bool is_queued[BUFFERS];
    unsigned queue[BUFFERS], queued;
    struct done ready[BUFFERS];
    unsigned readies;
    int64_t start;
    unsigned sequence; /* the next picture */
    uint8_t *pictures;
    size_t pictures_size;
    unsigned picture_count;
};

static pthread_mutex_t guard = PTHREAD_MUTEX_INITIALIZER;
static struct handle handles[HANDLES];
static bool was_ours[1024]; /* descriptors that once were the camera's and are closed */

static int64_t now(clockid_t clock)
{
    struct timespec at;
    clock_gettime(clock, &at);
    return at.tv_sec * SECOND + at.tv_nsec;
}

static struct handle *find(int fd)
{
    for (int i = 0; i < HANDLES; i++)
        if (handles[i].used && handles[i].fd == fd)
            return &handles[i];
    return NULL;
}

/* -- opening and closing ---------------------------------------------------------------------- */

int webcam_open(int flags)
{
    struct mode modes[MODES];
    if (is_there("unplugged"))
        return fail(ENOENT);
    if (is_there("forbidden"))
        return fail(EACCES);
    pthread_mutex_lock(&guard);
    struct handle *handle = NULL;
    for (int i = 0; i < HANDLES && !handle; i++)
        if (!handles[i].used)
            handle = &handles[i];
    int fd = handle ? memfd_create("camera", flags & O_CLOEXEC ? MFD_CLOEXEC : 0) : -1;
    if (fd >= 0) {
        unsigned count = read_modes(modes);
        memset(handle, 0, sizeof *handle);
        handle->used = true;
        handle->fd = fd;
        handle->lock = -1;
        if (count)
            handle->mode = modes[0];
        handle->rate = handle->mode.rates[0];
        if (fd < 1024)
            was_ours[fd] = false;
        note("open\n");
    }
    pthread_mutex_unlock(&guard);
    return fd;
}

static void stop(struct handle *handle)
{
    if (handle->streaming)
        note("stop\n");
    handle->streaming = false;
    handle->queued = handle->readies = 0;
    memset(handle->is_queued, 0, sizeof handle->is_queued);
    if (handle->pictures)
        munmap(handle->pictures, handle->pictures_size);
    handle->pictures = NULL;
}

static void free_buffers(struct handle *handle)
{
    stop(handle);
    if (handle->memory)
        munmap(handle->memory, handle->length * handle->count);
    handle->memory = NULL;
    handle->count = 0;
    if (handle->lock >= 0)
        real.close(handle->lock);
    handle->lock = -1;
}

void webcam_release(int fd)
{
    pthread_mutex_lock(&guard);
    struct handle *handle = find(fd);
    if (handle) {
        free_buffers(handle);
        handle->used = false;
        if (fd < 1024)
            was_ours[fd] = true;
        note("close\n");
    }
    pthread_mutex_unlock(&guard);
}

bool webcam_has(int fd)
{
    pthread_mutex_lock(&guard);
    bool ours = find(fd) != NULL;
    pthread_mutex_unlock(&guard);
    return ours;
}

bool webcam_present(void) { return !is_there("unplugged"); }

void webcam_late_queue(int fd)
{
    if (fd < 0 || fd >= 1024 || was_ours[fd])
        note("late-queue\n");
}

/* -- pictures --------------------------------------------------------------------------------- */

static uint8_t *picture(struct handle *handle, unsigned sequence, uint32_t *size)
{
    uint8_t *at = handle->pictures;
    for (unsigned skip = sequence % handle->picture_count; skip > 0; skip--) {
        memcpy(size, at, 4);
        at += 4 + *size;
    }
    memcpy(size, at, 4);
    return at + 4;
}

static int64_t due(const struct handle *handle, unsigned sequence)
{
    return handle->start + (sequence + 1) * SECOND / handle->rate;
}

/* Let what happened since the last look happen. */
static void advance(struct handle *handle)
{
    bool frozen = is_there("frozen"), damaged = is_there("damaged"), corrupt = is_there("corrupt");
    int64_t present = now(CLOCK_MONOTONIC);
    for (; due(handle, handle->sequence) <= present; handle->sequence++) {
        if (frozen || !handle->queued)
            continue;
        struct done *done = &handle->ready[handle->readies++];
        done->index = handle->queue[0];
        done->damaged = corrupt || (damaged && handle->sequence % 2 == 0);
        done->sequence = handle->sequence;
        done->at = due(handle, handle->sequence);
        memmove(handle->queue, handle->queue + 1, --handle->queued * sizeof *handle->queue);
    }
}

static void nap(void)
{
    nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
}

static int dequeue(int fd, struct v4l2_buffer *buffer)
{
    for (;;) {
        pthread_mutex_lock(&guard);
        struct handle *handle = find(fd);
        int error = 0;
        if (!handle || is_there("unplugged"))
            error = ENODEV;
        else if (!handle->streaming)
            error = EINVAL; /* also where STREAMOFF came meanwhile, as in the kernel */
        else
            advance(handle);
        if (!error && handle->readies) {
            struct done done = handle->ready[0];
            uint32_t size;
            uint8_t *bytes = picture(handle, done.sequence, &size);
            memmove(handle->ready, handle->ready + 1, --handle->readies * sizeof done);
            memcpy(handle->memory + done.index * handle->length, bytes, size);
            handle->is_queued[done.index] = false;
            buffer->index = done.index;
            buffer->bytesused = done.damaged ? size / 2 : size;
            buffer->flags = V4L2_BUF_FLAG_MAPPED | V4L2_BUF_FLAG_TIMESTAMP_MONOTONIC |
                            (done.damaged ? V4L2_BUF_FLAG_ERROR : 0);
            buffer->field = V4L2_FIELD_NONE;
            buffer->timestamp.tv_sec = done.at / SECOND;
            buffer->timestamp.tv_usec = done.at % SECOND / 1000;
            buffer->sequence = done.sequence;
            buffer->length = handle->length;
            buffer->m.offset = done.index * handle->length;
            pthread_mutex_unlock(&guard);
            return 0;
        }
        pthread_mutex_unlock(&guard);
        if (error)
            return fail(error);
        int flags = fcntl(fd, F_GETFL);
        if (flags >= 0 && flags & O_NONBLOCK)
            return fail(EAGAIN);
        nap();
    }
}

int webcam_poll(struct pollfd *polled, int timeout)
{
    int64_t end = now(CLOCK_MONOTONIC) + timeout * (SECOND / 1000);
    for (;;) {
        pthread_mutex_lock(&guard);
        struct handle *handle = find(polled->fd);
        polled->revents = 0;
        if (!handle || !handle->streaming || is_there("unplugged")) {
            polled->revents = POLLERR;
        } else {
            advance(handle);
            if (handle->readies)
                polled->revents = polled->events & (POLLIN | POLLRDNORM);
        }
        pthread_mutex_unlock(&guard);
        if (polled->revents)
            return 1;
        if (timeout >= 0 && now(CLOCK_MONOTONIC) >= end)
            return 0;
        nap();
    }
}

/* -- what V4L2 asks --------------------------------------------------------------------------- */

static void describe(const struct handle *handle, struct v4l2_format *format)
{
    const struct mode *mode = &handle->mode;
    struct v4l2_pix_format *pix = &format->fmt.pix;
    memset(pix, 0, sizeof *pix);
    pix->width = mode->width;
    pix->height = mode->height;
    pix->pixelformat = mode->format;
    pix->field = V4L2_FIELD_NONE;
    pix->bytesperline = compressed(mode->format) ? 0 : mode->width * 2;
    pix->sizeimage = mode->width * mode->height * 2;
    pix->colorspace = V4L2_COLORSPACE_SRGB;
}

/* As uvcvideo: an unknown format becomes the first one, a size the nearest, a rate the nearest. */
static void pick_mode(const struct v4l2_pix_format *asked, struct handle *handle)
{
    struct mode modes[MODES];
    unsigned count = read_modes(modes);
    uint32_t format = count ? modes[0].format : 0;
    uint64_t nearest = UINT64_MAX;
    for (unsigned i = 0; i < count; i++)
        if (modes[i].format == asked->pixelformat)
            format = asked->pixelformat;
    for (unsigned i = 0; i < count; i++) {
        int64_t wider = (int64_t)modes[i].width - asked->width;
        int64_t higher = (int64_t)modes[i].height - asked->height;
        uint64_t distance = llabs(wider) + llabs(higher);
        if (modes[i].format == format && distance < nearest) {
            nearest = distance;
            handle->mode = modes[i];
            handle->rate = modes[i].rates[0];
        }
    }
}

static int set_rate(struct handle *handle, struct v4l2_streamparm *parameters, bool set)
{
    struct v4l2_fract *time = &parameters->parm.capture.timeperframe;
    if (parameters->type != V4L2_BUF_TYPE_VIDEO_CAPTURE)
        return fail(EINVAL);
    if (set && handle->streaming)
        return fail(EBUSY);
    if (set && time->numerator) {
        int wanted = time->denominator / time->numerator;
        for (unsigned i = 0; i < handle->mode.rate_count; i++)
            if (abs((int)handle->mode.rates[i] - wanted) < abs((int)handle->rate - wanted))
                handle->rate = handle->mode.rates[i];
    }
    memset(&parameters->parm, 0, sizeof parameters->parm);
    parameters->parm.capture.capability = V4L2_CAP_TIMEPERFRAME;
    time->numerator = 1;
    time->denominator = handle->rate;
    return 0;
}

static int request_buffers(struct handle *handle, struct v4l2_requestbuffers *asked)
{
    char path[4096];
    if (asked->type != V4L2_BUF_TYPE_VIDEO_CAPTURE || asked->memory != V4L2_MEMORY_MMAP)
        return fail(EINVAL);
    free_buffers(handle);
    if (!asked->count)
        return 0;
    place(path, sizeof path, "lock");
    int lock = real.open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (lock < 0 || flock(lock, LOCK_EX | LOCK_NB) < 0) {
        if (lock >= 0)
            real.close(lock);
        return fail(EBUSY);
    }
    handle->lock = lock;
    long page = sysconf(_SC_PAGESIZE);
    handle->length = (handle->mode.width * handle->mode.height * 2 + page - 1) / page * page;
    handle->count = asked->count < BUFFERS ? asked->count : BUFFERS;
    if (ftruncate(handle->fd, handle->length * handle->count) < 0)
        return -1;
    handle->memory =
        mmap(NULL, handle->length * handle->count, PROT_READ | PROT_WRITE, MAP_SHARED, handle->fd, 0);
    if (handle->memory == MAP_FAILED) {
        handle->memory = NULL;
        return -1;
    }
    asked->count = handle->count;
    asked->capabilities = V4L2_BUF_CAP_SUPPORTS_MMAP;
    return 0;
}

static int query_buffer(struct handle *handle, struct v4l2_buffer *buffer)
{
    if (buffer->index >= handle->count)
        return fail(EINVAL);
    buffer->length = handle->length;
    buffer->m.offset = buffer->index * handle->length;
    buffer->flags = V4L2_BUF_FLAG_TIMESTAMP_MONOTONIC;
    return 0;
}

static int queue_buffer(struct handle *handle, struct v4l2_buffer *buffer)
{
    if (buffer->index >= handle->count || handle->is_queued[buffer->index])
        return fail(EINVAL);
    if (handle->streaming)
        advance(handle);
    handle->is_queued[buffer->index] = true;
    handle->queue[handle->queued++] = buffer->index;
    return 0;
}

static int start(struct handle *handle)
{
    char name[64], path[4096];
    struct stat seen;
    const struct mode *mode = &handle->mode;
    if (!handle->count)
        return fail(EINVAL);
    snprintf(name, sizeof name, "%.4s-%ux%u", (const char *)&mode->format, mode->width, mode->height);
    place(path, sizeof path, name);
    int fd = real.open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || real.fstat(fd, &seen) < 0 || seen.st_size < 5)
        return fail(EIO);
    handle->pictures_size = seen.st_size;
    handle->pictures = mmap(NULL, seen.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    real.close(fd);
    if (handle->pictures == MAP_FAILED)
        abort();
    handle->picture_count = 0;
    for (uint8_t *at = handle->pictures; at < handle->pictures + seen.st_size;) {
        uint32_t size;
        memcpy(&size, at, 4);
        if (size > handle->length)
            abort();
        at += 4 + size;
        handle->picture_count++;
    }
    handle->start = now(CLOCK_MONOTONIC);
    handle->sequence = 0;
    handle->streaming = true;
    note("stream %.4s %ux%u %u %u %lld\n", (const char *)&mode->format, mode->width, mode->height,
         handle->rate, handle->count, (long long)(now(CLOCK_REALTIME) / 1000000));
    return 0;
}

static int answer(struct handle *handle, unsigned long request, void *data)
{
    switch (request) {
    case VIDIOC_QUERYCAP: {
        struct v4l2_capability *about = data;
        bool metadata = is_there("metadata");
        memset(about, 0, sizeof *about);
        strcpy((char *)about->driver, "uvcvideo");
        strcpy((char *)about->card, "Test camera");
        strcpy((char *)about->bus_info, "usb-0000:00:14.0-1");
        about->version = 6 << 16;
        about->device_caps = V4L2_CAP_STREAMING | V4L2_CAP_EXT_PIX_FORMAT |
                             (metadata ? V4L2_CAP_META_CAPTURE : V4L2_CAP_VIDEO_CAPTURE);
        /* The whole camera's: with a picture also for the node that has none. */
        about->capabilities = V4L2_CAP_DEVICE_CAPS | V4L2_CAP_STREAMING | V4L2_CAP_VIDEO_CAPTURE |
                              V4L2_CAP_META_CAPTURE | V4L2_CAP_EXT_PIX_FORMAT;
        return 0;
    }
    case VIDIOC_G_INPUT:
        *(int *)data = 0;
        return 0;
    case VIDIOC_S_INPUT:
        return *(int *)data == 0 ? 0 : fail(EINVAL);
    case VIDIOC_ENUMINPUT: {
        struct v4l2_input *input = data;
        if (input->index)
            return fail(EINVAL);
        memset(input, 0, sizeof *input);
        strcpy((char *)input->name, "Camera 1");
        input->type = V4L2_INPUT_TYPE_CAMERA;
        return 0;
    }
    }
    if (is_there("metadata"))
        return fail(request == VIDIOC_G_STD ? ENOTTY : EINVAL);
    switch (request) {
    case VIDIOC_ENUM_FMT:
        return enumerate_formats(data);
    case VIDIOC_ENUM_FRAMESIZES:
        return enumerate_sizes(data);
    case VIDIOC_ENUM_FRAMEINTERVALS:
        return enumerate_intervals(data);
    case VIDIOC_G_FMT:
        describe(handle, data);
        return 0;
    case VIDIOC_TRY_FMT: {
        struct handle tried = *handle;
        pick_mode(&((struct v4l2_format *)data)->fmt.pix, &tried);
        describe(&tried, data);
        return 0;
    }
    case VIDIOC_S_FMT:
        if (handle->count)
            return fail(EBUSY);
        pick_mode(&((struct v4l2_format *)data)->fmt.pix, handle);
        describe(handle, data);
        return 0;
    case VIDIOC_G_PARM:
    case VIDIOC_S_PARM:
        return set_rate(handle, data, request == VIDIOC_S_PARM);
    case VIDIOC_REQBUFS:
        return request_buffers(handle, data);
    case VIDIOC_QUERYBUF:
        return query_buffer(handle, data);
    case VIDIOC_QBUF:
        return queue_buffer(handle, data);
    case VIDIOC_STREAMON:
        return start(handle);
    case VIDIOC_STREAMOFF:
        stop(handle);
        return 0;
    default:
        return fail(ENOTTY); /* G_STD, ENUMSTD and the like: a camera has none */
    }
}

int webcam_ioctl(int fd, unsigned long request, void *data)
{
    request &= 0xffffffff; /* callers sign-extend */
    if (request == VIDIOC_DQBUF)
        return dequeue(fd, data);
    pthread_mutex_lock(&guard);
    struct handle *handle = find(fd);
    int result = !handle                  ? fail(EBADF)
                 : is_there("unplugged")  ? fail(ENODEV)
                                          : answer(handle, request, data);
    pthread_mutex_unlock(&guard);
    return result;
}
