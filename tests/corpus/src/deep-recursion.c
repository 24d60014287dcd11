// Deep stacks: plain recursion of a chosen depth, mutual recursion with callbacks, and Ackermann's function.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

typedef uint64_t (*step)(uint32_t depth, uint64_t seed, double weight);

static uint64_t odd(uint32_t depth, uint64_t seed, double weight);

static uint64_t even(uint32_t depth, uint64_t seed, double weight) {
  volatile uint32_t on_shadow_stack[4] = {depth, (uint32_t)seed, 3, 4};
  if (depth == 0) return seed + (uint64_t)weight;
  step next = depth % 7 == 0 ? even : odd;
  uint64_t below = next(depth - 1, seed * 6364136223846793005u + 1, weight * 0.999 + 1);
  return below ^ (on_shadow_stack[0] * 3 + on_shadow_stack[1] + (uint64_t)(weight * 16));
}

static uint64_t odd(uint32_t depth, uint64_t seed, double weight) {
  if (depth == 0) return seed;
  float narrow = (float)weight;
  uint64_t below = even(depth - 1, seed + depth, narrow + 0.5);
  return below * 3 + (uint64_t)narrow;
}

__attribute__((noinline)) static uint32_t ackermann(uint32_t m, uint32_t n) {
  if (m == 0) return n + 1;
  if (n == 0) return ackermann(m - 1, 1);
  return ackermann(m - 1, ackermann(m, n - 1));
}

int main(int argc, char **argv) {
  uint32_t depth = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 10) : 12000;
  uint32_t rounds = argc > 2 ? (uint32_t)strtoul(argv[2], NULL, 10) : 20;
  uint32_t n = argc > 3 ? (uint32_t)strtoul(argv[3], NULL, 10) : 8;
  uint64_t sum = 0;
  for (uint32_t round = 0; round < rounds; round++) sum = sum * 31 + even(depth - round, round, 1.5);
  printf("depth %u: %016llx\n", depth, (unsigned long long)sum);
  printf("ackermann(2, %u) = %u\n", n * 100, ackermann(2, n * 100));
  printf("ackermann(3, %u) = %u\n", n, ackermann(3, n));
  return 0;
}
