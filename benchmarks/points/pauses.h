// What both guests of the benchmarks of persistence points do: a heap whose pages change, and the pauses that it makes.
#pragma once
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include "vermilion.h"

#define PAGE 4096u
#define MILLISECOND 1000000u
/** A pause is reported when its point is durable: how often that is asked for. */
#define LOOK MILLISECOND

static volatile unsigned sink;

static uint64_t now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

static unsigned char *heap_of(size_t pages) {
  unsigned char *heap = aligned_alloc(PAGE, pages * PAGE);
  if (heap == NULL) exit(3);
  // Every page is full of something else, so that nothing can be left out of it.
  for (size_t word = 0; word < pages * PAGE / 4; word++) ((uint32_t *)heap)[word] = (uint32_t)word * 2654435761u + 1;
  return heap;
}

static void compute(unsigned steps) {
  unsigned state = steps;
  for (unsigned i = 0; i < steps; i++) state = state * 1664525 + 1013904223;
  sink = state;
}

/** Changes so many pages, as far from each other as the heap allows. */
static void store(unsigned char *heap, size_t heap_pages, size_t pages, unsigned round) {
  size_t stride = heap_pages / pages;
  for (size_t page = 0; page < pages; page++)
    for (size_t at = 0; at < PAGE; at += 64) heap[page * stride * PAGE + at] = (unsigned char)(round + at);
}

/** `count` points with so many changed pages each: prints the longest pause of each. */
static void print_pauses(size_t heap_pages, size_t pages, unsigned count) {
  unsigned char *heap = heap_of(heap_pages);
  uint64_t *longest = calloc(count, sizeof *longest);
  int64_t epoch = vermilion_epoch();
  for (unsigned i = 0; i < count; i++) {
    store(heap, heap_pages, pages, i);
    for (uint64_t last = now(), looked = last;;) {
      uint64_t time = now();
      if (time - last > longest[i]) longest[i] = time - last;
      last = time;
      if (time - looked < LOOK) continue;
      int64_t durable = vermilion_epoch();
      last = looked = now(); // that call is no pause
      if (durable == epoch) continue;
      epoch = durable;
      break;
    }
  }
  for (unsigned i = 0; i < count; i++) printf("%llu\n", (unsigned long long)longest[i]);
}
