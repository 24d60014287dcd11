// The port that CoreMark asks for: the number of iterations is the program's argument, and the clock stands still, so that
// the report, checksums included, is the same every time. Compiled with -Dmain=coremark_main -DSEED_METHOD=SEED_FUNC.
#undef main
#include "coremark.h"
#include <stdlib.h>

int coremark_main(int argc, char **argv);

static ee_s32 iterations = 100;

ee_u32 default_num_contexts = 1;
ee_s32 portme_sys1(void) { return 0; }
ee_s32 portme_sys2(void) { return 0; }
ee_s32 portme_sys3(void) { return 0x66; }
ee_s32 portme_sys4(void) { return iterations; }
ee_s32 portme_sys5(void) { return 0; }
void start_time(void) {}
void stop_time(void) {}
CORE_TICKS get_time(void) { return 12000; }
secs_ret time_in_secs(CORE_TICKS ticks) { return (secs_ret)ticks / 1000; }
void *portable_malloc(size_t byte_length) { return malloc(byte_length); }
void portable_free(void *block) { free(block); }
void portable_init(core_portable *port, int *argc, char **argv) {
  (void)argc, (void)argv;
  port->portable_id = 1;
}
void portable_fini(core_portable *port) { port->portable_id = 0; }

int main(int argc, char **argv) {
  if (argc > 1) iterations = (ee_s32)strtol(argv[1], NULL, 10);
  return coremark_main(argc, argv);
}
