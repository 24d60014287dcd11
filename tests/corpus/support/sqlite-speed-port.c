// SQLite's speed test with a clock that stands still, so that the report is the same every time. The only other use that it
// makes of a VFS is to remove the file of an earlier run: there is none, the database is in memory.
#include "sqlite3.h"

static int stand_still(sqlite3_vfs *vfs, sqlite3_int64 *now) {
  (void)vfs;
  *now = 0;
  return SQLITE_OK;
}

static int remove_nothing(sqlite3_vfs *vfs, const char *name, int sync_directory) {
  (void)vfs, (void)name, (void)sync_directory;
  return SQLITE_OK;
}

static sqlite3_vfs still = {.iVersion = 2, .xCurrentTimeInt64 = stand_still, .xDelete = remove_nothing};
#define sqlite3_vfs_find(name) (&still)
#include "speedtest1.c"
