// Sleeps that a failure strikes in the middle: none ends early, and the monotonic clock never goes back.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static int64_t now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

int main(int argc, char **argv) {
  int count = argc > 1 ? atoi(argv[1]) : 6;
  long milliseconds = argc > 2 ? atol(argv[2]) : 40;
  int64_t last = now();
  for (int i = 0; i < count; i++) {
    struct timespec wanted = {.tv_sec = milliseconds / 1000, .tv_nsec = milliseconds % 1000 * 1000000};
    int failed = nanosleep(&wanted, NULL);
    int64_t time = now();
    printf("%d: %s, %s\n", i, failed ? "interrupted" : "slept", time - last >= milliseconds * 1000000 ? "long enough" : "too short");
    last = time;
  }
  return 0;
}
