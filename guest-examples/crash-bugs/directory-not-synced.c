// Directory not synced (ALICE): a file's content is flushed, its name is not, and a mail that was accepted is gone.
#include "crash-files.h"

static void path_of(char *path, uint32_t mail) {
  memcpy(path, "mail-0", 7);
  path[5] = (char)('0' + mail);
}

static int is_there(uint32_t mail) {
  char path[8];
  uint32_t found = 0;
  path_of(path, mail);
  return read_file(path, &found, sizeof found) == sizeof found && found == mail;
}

int main(void) {
  char path[8];
  for (uint32_t mail = 1; mail <= 3; mail++) {
    path_of(path, mail);
    if (!is_there(mail)) write_file(path, O_TRUNC, &mail, sizeof mail, 1);
    if (!BUGGY) sync_directory();
    vermilion_promise(mail);
  }
  return 0;
}

CHECKER {
  for (uint32_t mail = 1; mail <= promised; mail++) {
    if (!is_there(mail)) return (int)mail;
  }
  return 0;
}
