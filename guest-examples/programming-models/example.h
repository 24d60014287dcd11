// What the examples of this folder share.
#ifndef EXAMPLE_H
#define EXAMPLE_H

#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include "../vermilion.h"

// Recovers, and returns 0 if the state is consistent and holds what was promised.
#define CHECKER __attribute__((export_name("vermilion_check"))) int vermilion_check(uint32_t promised)

static uint32_t count_from(int argc, char **argv, uint32_t otherwise) {
  return argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 10) : otherwise;
}

// Tells the outside world that `count` operations are done: from now on no failure may undo them.
static void done(uint32_t count) {
  char line[12];
  size_t at = sizeof line;
  line[--at] = '\n';
  for (uint32_t rest = count; rest != 0 || at == sizeof line - 1; rest /= 10) line[--at] = (char)('0' + rest % 10);
  write(1, line + at, sizeof line - at);
  vermilion_promise(count);
}

#endif
