// One kind of host call, many times: guest KIND COUNT. Prints nanoseconds of all of them together.
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static char bytes[16];
static struct stat status;
static struct timespec now;

static double nanoseconds(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1e9 + t.tv_nsec;
}

int main(int argc, char **argv) {
  const char *kind = argv[1];
  const long count = atol(argv[2]);
  mkdir("/dir", 0755);
  mkdir("/dir/sub", 0755);
  close(open("/dir/sub/file", O_CREAT | O_RDWR, 0644));
  const int fd = open("/file", O_CREAT | O_RDWR | O_TRUNC, 0644);
  if (fd < 0) return 1;
  if (strcmp(kind, "read") == 0) {
    if (ftruncate(fd, count * 16) != 0) return 1;
  }
  const double start = nanoseconds();
#define LOOP(name, call)                                  \
  if (strcmp(kind, name) == 0) {                          \
    for (long i = 0; i < count; i++)                      \
      if ((call) < 0) return 1;                           \
  }
  LOOP("write", write(fd, bytes, 16))
  LOOP("read", read(fd, bytes, 16))
  LOOP("stat", stat("/file", &status))
  LOOP("stat-deep", stat("/dir/sub/file", &status))
  LOOP("fstat", fstat(fd, &status))
  LOOP("seek", lseek(fd, i, SEEK_SET))
  LOOP("open-close", close(open("/file", O_RDONLY)))
  LOOP("monotonic", clock_gettime(CLOCK_MONOTONIC, &now))
  LOOP("realtime", clock_gettime(CLOCK_REALTIME, &now))
  LOOP("random", getentropy(bytes, 16))
  printf("%.0f\n", nanoseconds() - start);
  return 0;
}
