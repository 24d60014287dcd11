// What points.ts runs; each mode measures one thing, with the guest's own clock where it is about the guest.
//
//   guest stores PAGES ROUNDS       writes PAGES pages of 4 KiB in each round, and computes for as long as nine times that takes
//   guest pauses PAGES COUNT        a persistence point with PAGES changed pages, COUNT times: prints the longest pause of each
//   guest writes COUNT FILE         COUNT writes of 64 bytes: prints nanoseconds
//   guest points PAGES COUNT row|scattered    COUNT points of its own asking, PAGES changed pages in each
//   guest heap MIB                  fills a heap, makes a point, prints "r"; then "x" again and again, and once, when it has read
//                                   the whole heap, "s"
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include "pauses.h"

/** Of what `points` writes into. */
#define HEAP_PAGES 16384u

static int stores(size_t pages, unsigned rounds) {
  unsigned char *heap = heap_of(pages);
  for (unsigned round = 0; round < rounds; round++) {
    store(heap, pages, pages, round);
    compute((unsigned)pages * 640);
  }
  return 0;
}

static int pauses(size_t pages, unsigned count) {
  print_pauses(pages, pages, count);
  return 0;
}

static int writes(unsigned count, const char *name) {
  char line[64];
  memset(line, 'a', sizeof line);
  line[sizeof line - 1] = '\n';
  int file = open(name, O_WRONLY | O_CREAT | O_TRUNC, 0600);
  if (file < 0) return 4;
  uint64_t started = now();
  for (unsigned i = 0; i < count; i++)
    if (write(file, line, sizeof line) != sizeof line) return 5;
  printf("%llu\n", (unsigned long long)(now() - started));
  return close(file) == 0 ? 0 : 6;
}

static int points(size_t pages, unsigned count, int scattered) {
  unsigned char *heap = heap_of(HEAP_PAGES);
  for (unsigned round = 0; round < count; round++) {
    for (size_t i = 0; i < pages; i++) {
      // 4099 is prime to the number of pages: neighbours in one round are far apart.
      size_t page = (round * pages + i) * (scattered ? 4099 : 1) % HEAP_PAGES;
      for (size_t at = 0; at < PAGE; at += 64) heap[page * PAGE + at]++;
    }
    if (vermilion_persist() == 0) return 7;
  }
  return 0;
}

static int heap(size_t mebibytes) {
  size_t pages = mebibytes * 256;
  unsigned char *bytes = heap_of(pages);
  if (vermilion_persist() == 0) return 7;
  if (write(1, "r", 1) != 1) return 8;
  for (unsigned turn = 1;; turn++) {
    compute(1000000);
    if (write(1, "x", 1) != 1) return 8;
    if (turn != 20) continue;
    for (size_t page = 0; page < pages; page++) sink += bytes[page * PAGE];
    if (write(1, "s", 1) != 1) return 8;
  }
}

int main(int argc, char **argv) {
  if (argc < 3) return 2;
  unsigned number = (unsigned)strtoul(argv[2], NULL, 10);
  unsigned count = argc > 3 ? (unsigned)strtoul(argv[3], NULL, 10) : 0;
  if (strcmp(argv[1], "stores") == 0) return stores(number, count);
  if (strcmp(argv[1], "pauses") == 0) return pauses(number, count);
  if (strcmp(argv[1], "writes") == 0 && argc == 4) return writes(number, argv[3]);
  if (strcmp(argv[1], "points") == 0 && argc == 5) return points(number, count, strcmp(argv[4], "scattered") == 0);
  if (strcmp(argv[1], "heap") == 0) return heap(number);
  return 2;
}
