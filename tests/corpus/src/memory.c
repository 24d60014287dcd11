// Memory traffic: memory <copy|triad|chase|scatter> <repetitions>, over 32 MiB.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COUNT (1u << 22)

static double a[COUNT / 2], b[COUNT / 2];
static uint32_t next[COUNT];

static void copy(void) {
  memmove((char *)next + 12, next, sizeof next - 12);
  memset(next, 7, COUNT * sizeof *next / 4);
  memcpy(b, a, sizeof a);
}

static void triad(void) {
  for (uint32_t i = 0; i < COUNT / 2; i++) a[i] = b[i] * 0.75 + a[i] * 0.2;
}

static uint32_t at;
static void chase(void) {
  for (uint32_t i = 0; i < COUNT / 4; i++) at = next[at];
}

static void scatter(void) {
  for (uint32_t i = 0; i < COUNT; i++) next[(i * 2654435761u) >> 10] += i;
}

int main(int argc, char **argv) {
  if (argc != 3) return fputs("memory: copy, triad, chase or scatter, and a count\n", stderr), 2;
  for (uint32_t i = 0; i < COUNT / 2; i++) a[i] = i % 1000, b[i] = i % 77;
  for (uint32_t i = 0; i < COUNT; i++) next[i] = (i * 1664525u + 1013904223u) % COUNT; // one cycle through all
  void (*run)(void) = argv[1][0] == 't' ? triad : argv[1][1] == 'h' ? chase : argv[1][0] == 's' ? scatter : copy;
  for (int n = atoi(argv[2]); n > 0; n--) run();
  uint64_t digest = at;
  for (uint32_t i = 0; i < COUNT; i++) digest = digest * 31 + next[i] + (uint64_t)(a[i / 2] * 16);
  printf("%s: %llu\n", argv[1], (unsigned long long)digest);
  return 0;
}
