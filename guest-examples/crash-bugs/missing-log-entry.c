// Missing log entry (PMTest, XFDetector): a transfer changes two accounts, and the transaction knows of one.
#include "crash.h"
#include "../pmem-libs/undo-log.h"

struct bank {
  uint32_t transfers;
  LINE int32_t from;
  LINE int32_t to;
};

static struct bank *bank;

static void open_bank(void) {
  pool_open();
  if (pool->root == 0) {
    tx_begin();
    struct bank *fresh = tx_alloc(sizeof *fresh);
    *fresh = (struct bank){.from = 1000};
    TX_SET(pool->root, pool_offset(fresh));
    tx_commit();
  }
  bank = pool_at(pool->root);
}

int main(void) {
  open_bank();
  while (bank->transfers < 3) {
    tx_begin();
    TX_SET(bank->from, bank->from - 10);
    if (BUGGY) bank->to += 10;
    else TX_SET(bank->to, bank->to + 10);
    TX_SET(bank->transfers, bank->transfers + 1);
    tx_commit();
    vermilion_promise(bank->transfers);
  }
  return 0;
}

CHECKER {
  open_bank();
  if (bank->from + bank->to != 1000) return 1;
  if (bank->to != (int32_t)bank->transfers * 10) return 2;
  return bank->transfers < promised ? 3 : 0;
}
