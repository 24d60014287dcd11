// Plain C that wants to know about power failures: `signal(SIGPWR, ...)` of wasi-libc's emulated signals. The runtime
// calls `raise` once per resume, before the program goes on; the handler runs on top of whatever was interrupted.
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

static volatile sig_atomic_t restorations;

static void on_power_restored(int number) {
  restorations++;
  printf("power restored (signal %d, time %d)\n", number, (int)restorations);
  signal(number, on_power_restored);
}

// The longest Collatz sequence that starts below `limit`.
static uint32_t longest_below(uint32_t limit, uint32_t *length) {
  uint32_t best = 1;
  *length = 1;
  for (uint32_t start = 1; start < limit; start++) {
    uint32_t steps = 1;
    for (uint64_t n = start; n != 1; n = n % 2 == 0 ? n / 2 : 3 * n + 1) steps++;
    if (steps > *length) {
      *length = steps;
      best = start;
    }
  }
  return best;
}

int main(int argc, char **argv) {
  uint32_t rounds = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 10) : 5;
  setvbuf(stdout, NULL, _IOLBF, 0);
  signal(SIGPWR, on_power_restored);
  for (uint32_t round = 1; round <= rounds; round++) {
    uint32_t length, start = longest_below(100000 * round, &length);
    printf("below %u: %u takes %u steps\n", 100000 * round, start, length);
  }
  return 0;
}
