// What a guest can ask of Vermilion. Every call is optional: a program that makes none persists as a whole.
#ifndef VERMILION_H
#define VERMILION_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define VERMILION_IMPORT(name) __attribute__((import_module("vermilion"), import_name(name)))

// Persistent memory that the program manages itself, as on a machine with byte-addressable persistent memory: a range that
// outlives a failure while the rest of the program begins again at main. docs/programming-models.md
//
// Without a simulated failure the whole process persists, and these calls do nothing.

// Makes a range persistent, at the same address in every run: a static array, aligned to 64. Call it once, before the first
// store into the range. Returns 1 if the range is one that a failure has struck: it then holds what survived. Returns 0 for a
// first start: what the range holds now is its first content, and durable.
VERMILION_IMPORT("pmem") int32_t vermilion_pmem(void *start, size_t length);

// Begins to write the 64-byte lines of a range back. They are durable after the next vermilion_sfence().
VERMILION_IMPORT("clwb") void vermilion_clwb(const void *start, size_t length);

// Everything that was written back before is durable when this returns. It is the only fence: atomic instructions are none.
VERMILION_IMPORT("sfence") void vermilion_sfence(void);

// Both at once, and down to the medium even where caches and memory lose what they hold (the domain "none", as msync does).
VERMILION_IMPORT("pmem_persist") void vermilion_pmem_persist(const void *start, size_t length);

// For tests: tells that the first `count` operations are done and somebody has been told. A failure behind this call may not
// undo them: `vermilion_check(count)` is called with the largest count.
VERMILION_IMPORT("promise") void vermilion_promise(uint32_t count);

// A persistence point of the whole process, here and now. Returns its number, from 1, once it is durable. Whoever goes on from
// it, after a kill or with `vermilion resume --at`, returns from this call once more, as from setjmp, with the negative of
// that number. 0: no point could be made (a line on stderr says why), and the program goes on without.
VERMILION_IMPORT("persist") int64_t vermilion_persist(void);

// The number of the last point that is durable; 0: none yet.
VERMILION_IMPORT("epoch") int64_t vermilion_epoch(void);

#ifdef __cplusplus
}
#endif
#endif
