// Flush before store (PMTest): the flush is there, a line too early, and writes back what was there before.
#include "crash.h"

PERSISTENT struct {
  uint32_t balance;
  LINE uint32_t payments;
} account;

static void pay(void) {
  if (BUGGY) PERSIST(account.balance);
  account.balance = (account.payments + 1) * 100;
  if (!BUGGY) PERSIST(account.balance);
  account.payments++;
  PERSIST(account.payments);
}

int main(void) {
  vermilion_pmem(&account, sizeof account);
  while (account.payments < 5) {
    pay();
    vermilion_promise(account.payments);
  }
  return 0;
}

// The balance may be one payment ahead, never behind.
CHECKER {
  vermilion_pmem(&account, sizeof account);
  if (account.payments < promised) return 1;
  return account.balance < account.payments * 100;
}
