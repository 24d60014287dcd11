// What the programs of this folder share. Each is built twice: with BUG it has the mistake that its first lines describe,
// without it is right.
#ifndef CRASH_H
#define CRASH_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "../vermilion.h"

#ifdef BUG
#define BUGGY 1
#else
#define BUGGY 0
#endif

#define LINE _Alignas(64)
#define PERSISTENT static LINE

// Recovers, and returns 0 if the state is consistent and holds what was promised.
#define CHECKER __attribute__((export_name("vermilion_check"))) int vermilion_check(uint32_t promised)

static inline void persist(const void *start, size_t length) {
  vermilion_clwb(start, length);
  vermilion_sfence();
}

#define PERSIST(place) persist(&(place), sizeof(place))

#endif
