// Programs that are mostly calls: calls <ackermann|tak|queens|dispatch> <size>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

__attribute__((noinline)) static uint32_t ackermann(uint32_t m, uint32_t n) {
  if (m == 0) return n + 1;
  if (n == 0) return ackermann(m - 1, 1);
  return ackermann(m - 1, ackermann(m, n - 1));
}

__attribute__((noinline)) static int tak(int x, int y, int z) {
  if (y >= x) return z;
  return tak(tak(x - 1, y, z), tak(y - 1, z, x), tak(z - 1, x, y));
}

__attribute__((noinline)) static uint32_t queens(uint32_t all, uint32_t columns, uint32_t left, uint32_t right) {
  if (columns == all) return 1;
  uint32_t found = 0;
  for (uint32_t free = all & ~(columns | left | right); free != 0; free &= free - 1) {
    uint32_t place = free & -free;
    found += queens(all, columns | place, (left | place) << 1, (right | place) >> 1);
  }
  return found;
}

typedef uint32_t step(uint32_t);
__attribute__((noinline)) static uint32_t add(uint32_t x) { return x + 0x9e3779b9u; }
__attribute__((noinline)) static uint32_t turn(uint32_t x) { return x << 7 | x >> 25; }
__attribute__((noinline)) static uint32_t flip(uint32_t x) { return x ^ x >> 3; }
__attribute__((noinline)) static uint32_t scale(uint32_t x) { return x * 2654435761u; }
static step *const steps[] = {add, turn, flip, scale};

static uint32_t dispatch(uint32_t count) {
  uint32_t x = 1;
  for (uint32_t i = 0; i < count; i++) x = steps[x & 3](x) + i;
  return x;
}

int main(int argc, char **argv) {
  if (argc != 3) return fputs("calls: ackermann, tak, queens or dispatch, and a size\n", stderr), 2;
  uint32_t size = (uint32_t)strtoul(argv[2], NULL, 10), result = 0;
  volatile uint32_t eight = 8; // or one call would do for all
  if (strcmp(argv[1], "ackermann") == 0) for (uint32_t i = 0; i < size; i++) result += ackermann(3, eight);
  else if (strcmp(argv[1], "tak") == 0) for (uint32_t i = 0; i < size; i++) result += (uint32_t)tak(18, 12, (int)eight - 2);
  else if (strcmp(argv[1], "queens") == 0) result = queens((1u << size) - 1, 0, 0, 0);
  else result = dispatch(size);
  printf("%s %u: %u\n", argv[1], size, result);
  return 0;
}
