// Sieve of Eratosthenes, several rounds: tight loops over bytes of the heap.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int main(int argc, char **argv) {
  size_t limit = argc > 1 ? strtoul(argv[1], NULL, 10) : 2000000;
  int rounds = argc > 2 ? atoi(argv[2]) : 5;
  unsigned char *composite = malloc(limit + 1);
  if (composite == NULL) return 1;
  for (int round = 1; round <= rounds; round++) {
    memset(composite, 0, limit + 1);
    for (size_t i = 2; i * i <= limit; i++) {
      if (composite[i]) continue;
      for (size_t j = i * i; j <= limit; j += i) composite[j] = 1;
    }
    size_t count = 0, last = 0;
    for (size_t i = 2; i <= limit; i++) {
      if (!composite[i]) count++, last = i;
    }
    printf("round %d: %zu primes, the last is %zu\n", round, count, last);
  }
  free(composite);
  return 0;
}
