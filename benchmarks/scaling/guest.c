// What scaling.ts runs; each mode has one thing that grows. Times are the guest's own, in nanoseconds.
//
//   guest objects COUNT              COUNT objects, each allocated by itself and linked with others; "r" when they are there and
//                                    after each resume; computes in between
//   guest pauses MIB DEPTH PAGES COUNT   a heap of that size, DEPTH activations, and COUNT persistence points with PAGES changed
//                                    pages each: prints the longest pause of each
//   guest epochs                     "r" when it is ready and after each resume; then for each number that it reads, on a line,
//                                    that many points of its own asking with one changed page, and prints the median and the
//                                    longest time of the last 100 of them
//   guest calls COUNT BYTES          COUNT host calls that return so many bytes: prints the mean time of the last 1000; then "x"
//                                    again and again
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <wasi/api.h>
#include "../points/pauses.h"

#define LAST 100u
#define LAST_CALLS 1000u
#define EPOCH_PAGES 16u

static volatile int restored = 1;
static int tells;

/** The guest may be waiting for its next number, so it is told here. */
__attribute__((export_name("vermilion_on_power_restored"))) void on_power_restored(void) {
  restored = 1;
  if (tells && write(1, "r", 1) != 1) exit(1);
}

struct object {
  struct object *before, *other;
  uint64_t value;
};

static int objects(unsigned count) {
  struct object *last = NULL, *other = NULL;
  for (unsigned i = 0; i < count; i++) {
    struct object *object = malloc(sizeof *object);
    if (object == NULL) return 3;
    *object = (struct object){.before = last, .other = other, .value = i};
    if (i % 7 == 0) other = last;
    last = object;
  }
  for (;;) {
    compute(1000);
    if (!restored) continue;
    restored = 0;
    if (last != NULL) sink += (unsigned)last->value;
    if (write(1, "r", 1) != 1) return 1;
  }
}

static unsigned pauses(size_t mebibytes, size_t pages, unsigned count) {
  size_t heap_pages = mebibytes * 256;
  if (pages > heap_pages) exit(2);
  print_pauses(heap_pages, pages, count);
  return 0;
}

__attribute__((noinline)) static unsigned at_depth(unsigned depth, size_t mebibytes, size_t pages, unsigned count) {
  if (depth <= 1) return pauses(mebibytes, pages, count);
  volatile unsigned kept = depth;
  return at_depth(depth - 1, mebibytes, pages, count) + (kept - depth);
}

static int ascending(const void *a, const void *b) {
  uint64_t one = *(const uint64_t *)a, other = *(const uint64_t *)b;
  return (one > other) - (one < other);
}

/** A line by single calls, so that nothing is read ahead of a power failure. */
static unsigned read_number(void) {
  unsigned number = 0;
  for (char byte = 0;;) {
    if (read(0, &byte, 1) != 1) exit(0);
    if (byte == '\n') return number;
    number = number * 10 + (unsigned)(byte - '0');
  }
}

static int epochs(void) {
  unsigned char *heap = heap_of(EPOCH_PAGES);
  uint64_t times[LAST];
  tells = 1;
  if (write(1, "r", 1) != 1) return 1;
  for (unsigned round = 0;;) {
    unsigned count = read_number(), taken = 0;
    for (unsigned i = 0; i < count; i++) {
      round++;
      store(heap + (round % EPOCH_PAGES) * PAGE, 1, 1, round);
      uint64_t started = now();
      if (vermilion_persist() == 0) return 7;
      if (i + LAST >= count) times[taken++] = now() - started;
    }
    qsort(times, taken, sizeof *times, ascending);
    printf("%llu %llu\n", (unsigned long long)times[taken / 2], (unsigned long long)times[taken - 1]);
    fflush(stdout);
  }
}

static int calls(unsigned count, size_t bytes) {
  unsigned char *buffer = malloc(bytes);
  uint64_t started = now();
  for (unsigned i = 0; i < count; i++) {
    if (i + LAST_CALLS == count) started = now();
    if (__wasi_random_get(buffer, bytes) != 0) return 5;
    sink += buffer[0];
  }
  unsigned last = count < LAST_CALLS ? count : LAST_CALLS;
  printf("%llu\n", (unsigned long long)((now() - started) / last));
  fflush(stdout);
  for (;;) {
    compute(1000000);
    if (write(1, "x", 1) != 1) return 8;
  }
}

int main(int argc, char **argv) {
  unsigned numbers[4] = {0};
  for (int i = 2; i < argc && i < 6; i++) numbers[i - 2] = (unsigned)strtoul(argv[i], NULL, 10);
  if (argc < 2) return 2;
  if (strcmp(argv[1], "objects") == 0) return objects(numbers[0]);
  if (strcmp(argv[1], "pauses") == 0) return (int)at_depth(numbers[1], numbers[0], numbers[2], numbers[3]);
  if (strcmp(argv[1], "epochs") == 0) return epochs();
  if (strcmp(argv[1], "calls") == 0) return calls(numbers[0], numbers[1]);
  return 2;
}
