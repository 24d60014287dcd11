// The same inserts into a database, each a transaction of its own: sqlite-inserts <file> <delete|wal|memory> <count>
//
// 16-byte keys, 64-byte values, synchronous=FULL. Prints the nanoseconds of the inserts, and how many rows there are.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "sqlite3.h"

static sqlite3 *database;

static void run(const char *words) {
  char *error = NULL;
  if (sqlite3_exec(database, words, NULL, NULL, &error) == SQLITE_OK) return;
  fprintf(stderr, "%s: %s\n", words, error);
  exit(1);
}

static uint64_t scatter(uint64_t x) {
  x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
  x = (x ^ x >> 27) * 0x94d049bb133111ebu;
  return x ^ x >> 31;
}

static uint64_t nanoseconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

int main(int argc, char **argv) {
  if (argc != 4) return fputs("sqlite-inserts: a file, delete, wal or memory, and a count\n", stderr), 2;
  if (sqlite3_open(argv[1], &database) != SQLITE_OK) return fprintf(stderr, "%s: cannot open\n", argv[1]), 1;
  char pragma[80];
  snprintf(pragma, sizeof pragma, "PRAGMA journal_mode=%s", argv[2]);
  run(pragma);
  run("PRAGMA synchronous=FULL");
  run("CREATE TABLE pairs (key BLOB PRIMARY KEY, value BLOB) WITHOUT ROWID");
  sqlite3_stmt *insert;
  if (sqlite3_prepare_v2(database, "INSERT OR REPLACE INTO pairs VALUES (?, ?)", -1, &insert, NULL) != SQLITE_OK) return 1;
  uint64_t count = strtoull(argv[3], NULL, 10), started = nanoseconds();
  for (uint64_t i = 0; i < count; i++) {
    uint64_t number = (scatter(i + 1) >> 20) % 100000, key[2] = {scatter(number), number}, value[8];
    for (int j = 0; j < 8; j++) value[j] = i + j;
    sqlite3_bind_blob(insert, 1, key, sizeof key, SQLITE_STATIC);
    sqlite3_bind_blob(insert, 2, value, sizeof value, SQLITE_STATIC);
    if (sqlite3_step(insert) != SQLITE_DONE) return fprintf(stderr, "%s\n", sqlite3_errmsg(database)), 1;
    sqlite3_reset(insert);
  }
  uint64_t took = nanoseconds() - started;
  sqlite3_finalize(insert);
  sqlite3_stmt *rows;
  if (sqlite3_prepare_v2(database, "SELECT count(*) FROM pairs", -1, &rows, NULL) != SQLITE_OK) return 1;
  sqlite3_step(rows);
  printf("%llu %lld\n", (unsigned long long)took, (long long)sqlite3_column_int64(rows, 0));
  sqlite3_finalize(rows);
  return sqlite3_close(database) == SQLITE_OK ? 0 : 1;
}
