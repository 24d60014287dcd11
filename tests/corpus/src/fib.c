// Doubly recursive Fibonacci: nothing but calls, operands of an addition alive across one of them.
#include <stdio.h>
#include <stdlib.h>

__attribute__((noinline)) static unsigned fib(unsigned n) { return n < 2 ? n : fib(n - 1) + fib(n - 2); }

int main(int argc, char **argv) {
  unsigned n = argc > 1 ? (unsigned)atoi(argv[1]) : 27;
  for (unsigned i = n < 4 ? 0 : n - 4; i <= n; i++) printf("fib(%u) = %u\n", i, fib(i));
  return 0;
}
