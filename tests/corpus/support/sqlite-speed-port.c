// SQLite's speed test with a clock that stands still, so that the report is the same every time. The clock is the only use
// that it makes of a VFS.
#include "sqlite3.h"

static int stand_still(sqlite3_vfs *vfs, sqlite3_int64 *now) {
  (void)vfs;
  *now = 0;
  return SQLITE_OK;
}

static sqlite3_vfs still = {.iVersion = 2, .xCurrentTimeInt64 = stand_still};
#define sqlite3_vfs_find(name) (&still)
#include "speedtest1.c"
