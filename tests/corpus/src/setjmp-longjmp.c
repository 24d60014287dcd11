// setjmp and longjmp: error recovery out of deep calls, several buffers in one function, a jump from within a loop into an
// outer function's loop, and a generator of retries.
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

static jmp_buf outer, inner;
static uint32_t random_state = 2463534242u;

static uint32_t next_random(void) {
  random_state ^= random_state << 13, random_state ^= random_state >> 17, random_state ^= random_state << 5;
  return random_state;
}

__attribute__((noinline)) static uint32_t parse(uint32_t depth, uint32_t value) {
  if (depth == 0) {
    uint32_t choice = next_random() % 5;
    if (choice == 0) longjmp(inner, (int)(value % 1000) + 1);
    if (choice == 1) longjmp(outer, (int)(value % 1000) + 1);
    return value;
  }
  uint32_t sum = value;
  for (uint32_t i = 0; i < depth % 4 + 1; i++) sum = sum * 33 + i;
  return parse(depth - 1, sum) ^ depth;
}

__attribute__((noinline)) static uint32_t attempt(uint32_t seed) {
  volatile uint32_t retries = 0;
  jmp_buf own;
  int caught = setjmp(inner);
  if (caught != 0) {
    retries++;
    if (retries > 3) return retries * 1000 + (uint32_t)caught;
  }
  int again = setjmp(own);
  if (again != 0) return 500000 + (uint32_t)again;
  uint32_t result = parse(seed % 40, seed + retries);
  if (result % 7 == 0) longjmp(own, (int)(result % 100) + 1);
  return result;
}

int main(int argc, char **argv) {
  volatile uint32_t jumps = 0, digest = 0;
  uint32_t count = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 10) : 4000;
  for (volatile uint32_t i = 0; i < count; i++) {
    int code = setjmp(outer);
    if (code != 0) {
      jumps++;
      digest = digest * 31 + (uint32_t)code;
      continue;
    }
    digest = digest * 31 + attempt(i);
    if (i % (count / 5 + 1) == 0) printf("%u: %u jumps, digest %08x\n", i, jumps, digest);
  }
  printf("%u jumps, digest %08x\n", jumps, digest);
  return (int)(jumps % 100);
}
