/* Loaded ahead of the C library by tests: the k-th read of a store fails with an error of the system, and so does
   every lock of a file. Both are told by environment variables or by the two functions. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

static long reads_left = -1;
static int read_errno = 0;
static int n_locks = 0;

void fail_read(long after, int number)
{
    reads_left = after;
    read_errno = number;
}

int has_failed(void) { return read_errno && reads_left < 0; }

int locks_asked(void) { return n_locks; }

static int is_store(int descriptor)
{
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0)
        return 0;
    path[length] = 0;
    return strstr(path, ".h5") != NULL;
}

static int fails(int descriptor)
{
    if (reads_left < 0 || !is_store(descriptor) || reads_left-- > 0)
        return 0;
    errno = read_errno;
    return 1;
}

ssize_t read(int descriptor, void *buffer, size_t size)
{
    static ssize_t (*own)(int, void *, size_t) = NULL;
    if (own == NULL)
        *(void **)&own = dlsym(RTLD_NEXT, "read");
    return fails(descriptor) ? -1 : own(descriptor, buffer, size);
}

ssize_t pread(int descriptor, void *buffer, size_t size, off_t offset)
{
    static ssize_t (*own)(int, void *, size_t, off_t) = NULL;
    if (own == NULL)
        *(void **)&own = dlsym(RTLD_NEXT, "pread");
    return fails(descriptor) ? -1 : own(descriptor, buffer, size, offset);
}

ssize_t pread64(int descriptor, void *buffer, size_t size, off64_t offset)
{
    static ssize_t (*own)(int, void *, size_t, off64_t) = NULL;
    if (own == NULL)
        *(void **)&own = dlsym(RTLD_NEXT, "pread64");
    return fails(descriptor) ? -1 : own(descriptor, buffer, size, offset);
}

int flock(int descriptor, int operation)
{
    static int (*own)(int, int) = NULL;
    const char *number = getenv("NOLOCK_ERRNO");
    if (own == NULL)
        *(void **)&own = dlsym(RTLD_NEXT, "flock");
    n_locks++;
    if (number == NULL)
        return own(descriptor, operation);
    errno = atoi(number);
    return -1;
}
