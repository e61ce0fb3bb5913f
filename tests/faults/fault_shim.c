// Loaded before the C library (LD_PRELOAD) into the program under test: moves its wall clock and fills its disk.
// The test says how through a file that is mapped, so that a change takes effect at once:
//
//     struct { int64 clock_offset_s; int64 disk_is_full; int64 free_bytes; }      MLXD_FAULTS names it
//
// The monotonic clock is left alone, as a system's is when its wall clock is set. Only regular files are full.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

struct faults {
  volatile int64_t clock_offset_s;
  volatile int64_t disk_is_full;
  volatile int64_t free_bytes;  // negative: the file system's own
};

static const struct faults no_faults = {0, 0, -1};
static const struct faults* faults = &no_faults;

static int (*real_clock_gettime)(clockid_t, struct timespec*);
static int (*real_gettimeofday)(struct timeval*, void*);
static ssize_t (*real_write)(int, const void*, size_t);
static ssize_t (*real_pwrite)(int, const void*, size_t, off_t);
static ssize_t (*real_writev)(int, const struct iovec*, int);
static int (*real_statvfs)(const char*, struct statvfs*);

__attribute__((constructor)) static void start(void) {
  *(void**)&real_clock_gettime = dlsym(RTLD_NEXT, "clock_gettime");
  *(void**)&real_gettimeofday = dlsym(RTLD_NEXT, "gettimeofday");
  *(void**)&real_write = dlsym(RTLD_NEXT, "write");
  *(void**)&real_pwrite = dlsym(RTLD_NEXT, "pwrite");
  *(void**)&real_writev = dlsym(RTLD_NEXT, "writev");
  *(void**)&real_statvfs = dlsym(RTLD_NEXT, "statvfs");
  const char* name = getenv("MLXD_FAULTS");
  if (name == NULL) return;
  const int file = open(name, O_RDONLY | O_CLOEXEC);
  if (file < 0) abort();
  void* mapped = mmap(NULL, sizeof(struct faults), PROT_READ, MAP_SHARED, file, 0);
  close(file);
  if (mapped == MAP_FAILED) abort();
  faults = mapped;
}

// Others' constructors may run before this one.
#define NEED(pointer, name) \
  if ((pointer) == NULL) *(void**)&(pointer) = dlsym(RTLD_NEXT, name)

int clock_gettime(clockid_t clock, struct timespec* time) {
  NEED(real_clock_gettime, "clock_gettime");
  const int result = real_clock_gettime(clock, time);
  if (result == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
    time->tv_sec += faults->clock_offset_s;
  return result;
}

int gettimeofday(struct timeval* restrict time, void* restrict zone) {
  NEED(real_gettimeofday, "gettimeofday");
  const int result = real_gettimeofday(time, zone);
  if (result == 0) time->tv_sec += faults->clock_offset_s;
  return result;
}

time_t time(time_t* result) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  if (result != NULL) *result = now.tv_sec;
  return now.tv_sec;
}

static int is_refused(int file) {
  struct stat facts;
  return faults->disk_is_full && fstat(file, &facts) == 0 && S_ISREG(facts.st_mode);
}

ssize_t write(int file, const void* bytes, size_t count) {
  NEED(real_write, "write");
  if (!is_refused(file)) return real_write(file, bytes, count);
  errno = ENOSPC;
  return -1;
}

ssize_t pwrite(int file, const void* bytes, size_t count, off_t at) {
  NEED(real_pwrite, "pwrite");
  if (!is_refused(file)) return real_pwrite(file, bytes, count, at);
  errno = ENOSPC;
  return -1;
}

ssize_t pwrite64(int file, const void* bytes, size_t count, off64_t at) { return pwrite(file, bytes, count, at); }

ssize_t writev(int file, const struct iovec* parts, int count) {
  NEED(real_writev, "writev");
  if (!is_refused(file)) return real_writev(file, parts, count);
  errno = ENOSPC;
  return -1;
}

int statvfs(const char* restrict path, struct statvfs* restrict facts) {
  NEED(real_statvfs, "statvfs");
  const int result = real_statvfs(path, facts);
  if (result == 0 && faults->free_bytes >= 0)
    facts->f_bavail = facts->f_bfree = (fsblkcnt_t)((uint64_t)faults->free_bytes / facts->f_frsize);
  return result;
}
