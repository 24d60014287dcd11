// A workload for SQLite on a file: tables with indexes, transactions of which some roll back, joins, aggregates, updates,
// deletes, a recursive query, a savepoint, VACUUM, and an integrity check at the end.
#include <stdio.h>
#include <stdlib.h>
#include "sqlite3.h"

static sqlite3 *database;

static void run(const char *sql) {
  char *message = NULL;
  if (sqlite3_exec(database, sql, NULL, NULL, &message) == SQLITE_OK) return;
  printf("%s: %s\n", sql, message);
  exit(6);
}

static int print_row(void *title, int count, char **values, char **names) {
  (void)names;
  printf("%s:", (const char *)title);
  for (int i = 0; i < count; i++) printf(" %s", values[i] == NULL ? "null" : values[i]);
  printf("\n");
  return 0;
}

static void query(const char *title, const char *sql) {
  char *message = NULL;
  if (sqlite3_exec(database, sql, print_row, (void *)title, &message) == SQLITE_OK) return;
  printf("%s: %s\n", title, message);
  exit(6);
}

int main(int argc, char **argv) {
  int count = argc > 1 ? atoi(argv[1]) : 1500, rounds = argc > 2 ? atoi(argv[2]) : 3;
  if (sqlite3_open("/data/test.db", &database) != SQLITE_OK) {
    printf("open: %s\n", sqlite3_errmsg(database));
    return 6;
  }
  run("PRAGMA synchronous = OFF; PRAGMA cache_size = 200");
  run("CREATE TABLE IF NOT EXISTS account (id INTEGER PRIMARY KEY, owner TEXT NOT NULL, balance INTEGER, region INTEGER);"
      "CREATE TABLE IF NOT EXISTS transfer (source INTEGER, target INTEGER, amount INTEGER, note TEXT);"
      "CREATE INDEX IF NOT EXISTS by_region ON account (region, balance);"
      "CREATE INDEX IF NOT EXISTS by_target ON transfer (target)");
  unsigned random = 1;
  sqlite3_stmt *insert, *move, *record;
  sqlite3_prepare_v2(database, "INSERT OR REPLACE INTO account VALUES (?, ?, ?, ?)", -1, &insert, NULL);
  sqlite3_prepare_v2(database, "UPDATE account SET balance = balance + ? WHERE id = ?", -1, &move, NULL);
  sqlite3_prepare_v2(database, "INSERT INTO transfer VALUES (?, ?, ?, ?)", -1, &record, NULL);
  for (int round = 0; round < rounds; round++) {
    run("BEGIN");
    for (int i = 0; i < count; i++) {
      random = random * 1664525u + 1013904223u;
      char owner[32];
      int length = snprintf(owner, sizeof owner, "owner %08x", random);
      sqlite3_bind_int(insert, 1, round * count / 2 + i);
      sqlite3_bind_text(insert, 2, owner, length, SQLITE_TRANSIENT);
      sqlite3_bind_int(insert, 3, 1000);
      sqlite3_bind_int(insert, 4, (int)(random >> 20) % 12);
      if (sqlite3_step(insert) != SQLITE_DONE) return 6;
      sqlite3_reset(insert);
    }
    run("COMMIT");
    for (int batch = 0; batch < 10; batch++) {
      run("BEGIN");
      for (int i = 0; i < count / 20; i++) {
        random = random * 1664525u + 1013904223u;
        int source = (int)(random >> 8) % count, target = (int)(random >> 12) % count, amount = (int)(random >> 24);
        sqlite3_bind_int(move, 1, -amount), sqlite3_bind_int(move, 2, source);
        if (sqlite3_step(move) != SQLITE_DONE) return 6;
        sqlite3_reset(move);
        sqlite3_bind_int(move, 1, amount), sqlite3_bind_int(move, 2, target);
        if (sqlite3_step(move) != SQLITE_DONE) return 6;
        sqlite3_reset(move);
        sqlite3_bind_int(record, 1, source), sqlite3_bind_int(record, 2, target), sqlite3_bind_int(record, 3, amount);
        sqlite3_bind_text(record, 4, batch % 2 == 0 ? "even batch, with some text to fill the page" : "odd", -1, SQLITE_STATIC);
        if (sqlite3_step(record) != SQLITE_DONE) return 6;
        sqlite3_reset(record);
      }
      run(batch % 4 == 3 ? "ROLLBACK" : "COMMIT");
    }
    query("sum", "SELECT count(*), sum(balance) FROM account");
    query("regions", "SELECT region, count(*), max(balance), min(owner) FROM account GROUP BY region ORDER BY 2 DESC, 1 LIMIT 3");
    query("join", "SELECT a.owner, sum(t.amount) FROM transfer t JOIN account a ON a.id = t.target GROUP BY a.id ORDER BY 2 DESC, 1 LIMIT 3");
    run("SAVEPOINT s; DELETE FROM transfer WHERE amount % 3 = 0; UPDATE account SET owner = upper(owner) WHERE region = 3; RELEASE s");
    query("text", "SELECT group_concat(substr(owner, 7, 2), '') FROM (SELECT owner FROM account WHERE balance > 1100 ORDER BY id LIMIT 12)");
  }
  query("recursive", "WITH RECURSIVE fib(n, a, b) AS (SELECT 1, 0, 1 UNION ALL SELECT n + 1, b, a + b FROM fib WHERE n < 60) SELECT max(a) FROM fib");
  run("VACUUM");
  query("integrity", "PRAGMA integrity_check");
  query("pages", "PRAGMA page_count");
  sqlite3_finalize(insert), sqlite3_finalize(move), sqlite3_finalize(record);
  return sqlite3_close(database) == SQLITE_OK ? 0 : 6;
}
