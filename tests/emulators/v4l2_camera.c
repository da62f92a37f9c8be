/* A V4L2 camera that is not there, for a process that preloads this library: the file named by EMULATED_CAMERA opens as
 * a capture device. It delivers YUYV at 640x480 or 320x240, paced by a timer descriptor, so that poll and select are
 * the kernel's own; its luma is the frame's number. Its file removed, it is unplugged. Wire facts: linux/videodev2.h.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/videodev2.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define BUFFERS 10
#define LARGEST (640 * 480 * 2)

static int camera = -1, streaming, queued[BUFFERS], buffers;
static unsigned width = 640, height = 480, rate = 30, sequence;
static uint8_t *memory[BUFFERS];
static double begun;

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

static int fails(int why) {
    errno = why;
    return -1;
}

static int opens(const char *path, int flags, int mode) {
    const char *emulated = getenv("EMULATED_CAMERA");
    if (!emulated || strcmp(path, emulated))
        return syscall(SYS_openat, AT_FDCWD, path, flags, mode);
    return camera = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
}

static void set_timer(int running) {
    struct itimerspec timer = {0};
    if (running)
        timer.it_value.tv_nsec = timer.it_interval.tv_nsec = 1000000000L / rate;
    timerfd_settime(camera, 0, &timer, NULL);
    begun = now();
    sequence = 0;
    streaming = running;
}

static int dequeue(struct v4l2_buffer *buffer) {
    uint64_t passed;
    if (access(getenv("EMULATED_CAMERA"), F_OK))
        return fails(ENODEV);
    if (read(camera, &passed, sizeof passed) != sizeof passed)
        return fails(EAGAIN);
    int free = 0;
    while (free < buffers && !queued[free])
        free++;
    if (free == buffers)
        return fails(EIO);
    queued[free] = 0;
    sequence += passed;
    double taken = begun + (double)sequence / rate;
    for (unsigned at = 0; at < width * height; at++) {
        memory[free][2 * at] = 16 + sequence % 200;
        memory[free][2 * at + 1] = 128;
    }
    buffer->index = free;
    buffer->length = LARGEST;
    buffer->bytesused = width * height * 2;
    buffer->sequence = sequence;
    buffer->flags = V4L2_BUF_FLAG_TIMESTAMP_MONOTONIC;
    buffer->timestamp.tv_sec = (long)taken;
    buffer->timestamp.tv_usec = (long)((taken - (long)taken) * 1e6);
    return 0;
}

static int set_format(struct v4l2_format *format) {
    int small = format->fmt.pix.width <= 320;
    if (format->type != V4L2_BUF_TYPE_VIDEO_CAPTURE)
        return fails(EINVAL);
    width = format->fmt.pix.width = small ? 320 : 640;
    height = format->fmt.pix.height = small ? 240 : 480;
    format->fmt.pix.pixelformat = V4L2_PIX_FMT_YUYV;
    format->fmt.pix.field = V4L2_FIELD_NONE;
    format->fmt.pix.bytesperline = 2 * width;
    format->fmt.pix.sizeimage = 2 * width * height;
    return 0;
}

/* Gain moves in steps of four; exposure, white balance and focus are the camera's own while their automatics are on. */
static struct {
    unsigned id, automatic;
    int value, least, most, step;
} controls[] = {
    {V4L2_CID_EXPOSURE_AUTO, 0, 3, 0, 3, 1},
    {V4L2_CID_EXPOSURE_ABSOLUTE, V4L2_CID_EXPOSURE_AUTO, 156, 3, 2047, 1},
    {V4L2_CID_AUTO_WHITE_BALANCE, 0, 1, 0, 1, 1},
    {V4L2_CID_WHITE_BALANCE_TEMPERATURE, V4L2_CID_AUTO_WHITE_BALANCE, 4000, 2000, 6500, 1},
    {V4L2_CID_GAIN, 0, 16, 0, 255, 4},
    {V4L2_CID_FOCUS_AUTO, 0, 1, 0, 1, 1},
    {V4L2_CID_FOCUS_ABSOLUTE, V4L2_CID_FOCUS_AUTO, 0, 0, 250, 1},
};

static int find(unsigned id) {
    for (int at = 0; at < (int)(sizeof controls / sizeof *controls); at++)
        if (controls[at].id == id)
            return at;
    return -1;
}

static int left_to_camera(unsigned automatic) {
    int value = automatic ? controls[find(automatic)].value : 0;
    return automatic == V4L2_CID_EXPOSURE_AUTO ? value != V4L2_EXPOSURE_MANUAL : value;
}

static int control(struct v4l2_control *wanted, int set) {
    int at = find(wanted->id);
    if (at < 0)
        return fails(EINVAL);
    if (set && (left_to_camera(controls[at].automatic) || wanted->value < controls[at].least ||
                wanted->value > controls[at].most))
        return fails(ERANGE);
    if (set)
        controls[at].value = wanted->value / controls[at].step * controls[at].step;
    wanted->value = controls[at].value;
    return 0;
}

static int describe(struct v4l2_queryctrl *wanted) {
    int at = find(wanted->id);
    if (at < 0)
        return fails(EINVAL);
    wanted->minimum = controls[at].least;
    wanted->maximum = controls[at].most;
    wanted->step = controls[at].step;
    wanted->flags = 0;
    return 0;
}

static int parameters(struct v4l2_streamparm *wanted, int set) {
    struct v4l2_fract *period = &wanted->parm.capture.timeperframe;
    if (set && period->numerator)
        rate = period->denominator / period->numerator;
    wanted->parm.capture.capability = V4L2_CAP_TIMEPERFRAME;
    period->numerator = 1;
    period->denominator = rate;
    return 0;
}

static int request(struct v4l2_requestbuffers *wanted) {
    if (wanted->count > BUFFERS)
        wanted->count = BUFFERS;
    buffers = wanted->count;
    memset(queued, 0, sizeof queued);
    return 0;
}

static int answer(unsigned long code, void *argument) {
    struct v4l2_buffer *buffer = argument;
    struct v4l2_capability *capability = argument;
    switch (code) {
    case VIDIOC_QUERYCAP:
        memset(capability, 0, sizeof *capability);
        strcpy((char *)capability->card, "Emulated camera");
        capability->capabilities = capability->device_caps = V4L2_CAP_VIDEO_CAPTURE | V4L2_CAP_STREAMING;
        return 0;
    case VIDIOC_ENUMINPUT:
        return ((struct v4l2_input *)argument)->index ? fails(EINVAL) : 0;
    case VIDIOC_S_INPUT:
    case VIDIOC_G_INPUT:
        return *(int *)argument = 0;
    case VIDIOC_S_FMT:
    case VIDIOC_TRY_FMT:
    case VIDIOC_G_FMT:
        return set_format(argument);
    case VIDIOC_G_PARM:
    case VIDIOC_S_PARM:
        return parameters(argument, code == VIDIOC_S_PARM);
    case VIDIOC_QUERYCTRL:
        return describe(argument);
    case VIDIOC_G_CTRL:
    case VIDIOC_S_CTRL:
        return control(argument, code == VIDIOC_S_CTRL);
    case VIDIOC_REQBUFS:
        return request(argument);
    case VIDIOC_QUERYBUF:
        buffer->length = LARGEST;
        buffer->m.offset = buffer->index;
        return 0;
    case VIDIOC_QBUF:
        queued[buffer->index] = 1;
        return 0;
    case VIDIOC_DQBUF:
        return streaming ? dequeue(buffer) : fails(EINVAL);
    case VIDIOC_STREAMON:
    case VIDIOC_STREAMOFF:
        set_timer(code == VIDIOC_STREAMON);
        return 0;
    }
    return fails(EINVAL);
}

int open(const char *path, int flags, ...) {
    va_list rest;
    va_start(rest, flags);
    int mode = va_arg(rest, int);
    va_end(rest);
    return opens(path, flags, mode);
}

int open64(const char *path, int flags, ...) {
    va_list rest;
    va_start(rest, flags);
    int mode = va_arg(rest, int);
    va_end(rest);
    return opens(path, flags | O_LARGEFILE, mode);
}

int ioctl(int descriptor, unsigned long code, ...) {
    va_list rest;
    va_start(rest, code);
    void *argument = va_arg(rest, void *);
    va_end(rest);
    if (descriptor < 0 || descriptor != camera)
        return syscall(SYS_ioctl, descriptor, code, argument);
    return answer(code, argument);
}

void *mmap(void *where, size_t length, int protection, int flags, int descriptor, off_t offset) {
    if (descriptor < 0 || descriptor != camera)
        return (void *)syscall(SYS_mmap, where, length, protection, flags, descriptor, offset);
    void *made = (void *)syscall(
        SYS_mmap, NULL, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    memory[offset] = made;
    return made;
}

void *mmap64(void *where, size_t length, int protection, int flags, int descriptor, off_t offset) {
    return mmap(where, length, protection, flags, descriptor, offset);
}

int close(int descriptor) {
    if (descriptor >= 0 && descriptor == camera)
        camera = -1;
    return syscall(SYS_close, descriptor);
}
