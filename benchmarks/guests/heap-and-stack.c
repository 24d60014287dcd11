// A process of a given size: HEAP_MEBIBYTES of memory (every page written once), DEPTH activations of a recursive
// function, and at the bottom a loop that computes until the power comes back; then it prints "r" and computes on.
//
//   heap-and-stack HEAP_MEBIBYTES DEPTH clean|touched
//
// touched: before each "r" every page of the heap is written again, so that all of it is to be flushed; clean: nothing but
// the stack changes. Built with clang 19 and wasi-libc of Debian 12, in this folder:
//
//   clang --target=wasm32-wasi -O2 -Wl,--strip-debug -Wl,-z,stack-size=8388608 -o heap-and-stack.wasm heap-and-stack.c
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PAGE 65536u
#define SMALL_PAGE 4096u

static volatile int restored;
static unsigned char *heap;
static size_t heap_pages;
static int touches;
static volatile unsigned sink;

__attribute__((export_name("vermilion_on_power_restored"))) void on_power_restored(void) { restored = 1; }

static void touch(void) {
  for (size_t page = 0; page < heap_pages; page++)
    for (size_t at = 0; at < PAGE; at += SMALL_PAGE) heap[page * PAGE + at]++;
}

static void compute_forever(void) {
  for (unsigned state = 1;;) {
    for (int i = 0; i < 1000; i++) state = state * 1664525 + 1013904223;
    sink = state;
    if (!restored) continue;
    restored = 0;
    if (write(1, "r", 1) != 1) exit(1);
    if (!touches) continue;
    touch();
    if (write(1, "t", 1) != 1) exit(1);
  }
}

__attribute__((noinline)) static unsigned recurse(unsigned depth) {
  if (depth == 0) compute_forever();
  volatile unsigned kept = depth;
  return recurse(depth - 1) + kept;
}

int main(int argc, char **argv) {
  if (argc != 4) return 2;
  // A program's own pages come first: of 65,536 the heap gets what is left.
  size_t wanted = (size_t)strtoul(argv[1], NULL, 10) * 16, present = __builtin_wasm_memory_size(0);
  heap_pages = wanted + present > 65536 ? 65536 - present : wanted;
  size_t first = __builtin_wasm_memory_grow(0, heap_pages);
  if (first == (size_t)-1) return 3;
  heap = (unsigned char *)(first * PAGE);
  touches = strcmp(argv[3], "touched") == 0;
  touch();
  restored = 1; // the first "r": ready
  return (int)recurse((unsigned)strtoul(argv[2], NULL, 10));
}
