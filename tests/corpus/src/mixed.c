// Compiled without optimisation: every local lives in the shadow stack and in hundreds of WebAssembly locals; function
// pointers, switches, doubles, floats, 64-bit integers and struct returns in between.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

struct pair {
  int64_t first;
  double second;
};

typedef struct pair (*operation)(struct pair, int);

static struct pair grow(struct pair p, int n) {
  struct pair result = {p.first * 3 + n, p.second * 1.5};
  return result;
}

static struct pair shrink(struct pair p, int n) {
  struct pair result = {p.first / 2 - n, p.second / 3.0 + n};
  return result;
}

static struct pair twist(struct pair p, int n) {
  for (int i = 0; i < n % 11; i++) {
    p.first ^= (int64_t)((uint64_t)p.first << 13);
    p.first ^= (int64_t)((uint64_t)p.first >> 7);
    p.second = p.second * 0.75 + (float)i;
  }
  return p;
}

static operation operations[] = {grow, shrink, twist, shrink, twist};

static int classify(int64_t value) {
  switch ((uint64_t)value % 12) {
    case 0: return 3;
    case 1: case 2: return value > 0 ? 5 : 6;
    case 3: return 1;
    case 5: return 9;
    case 7: return (int)(value & 15);
    case 11: return 2;
    default: return 0;
  }
}

int main(int argc, char **argv) {
  int count = argc > 1 ? atoi(argv[1]) : 200000;
  struct pair p = {1, 1.0};
  int64_t histogram[16] = {0};
  for (int i = 0; i < count; i++) {
    p = operations[(i * 7 + classify(p.first)) % 5](p, i);
    if (p.second > 1e12) p.second = 1.0;
    histogram[classify(p.first)]++;
    if (i % (count / 4 + 1) == 0) printf("%d: %lld %.15g\n", i, (long long)p.first, p.second);
  }
  for (int i = 0; i < 16; i++) printf("%lld ", (long long)histogram[i]);
  printf("\n%lld %a\n", (long long)p.first, p.second);
  return 42;
}
