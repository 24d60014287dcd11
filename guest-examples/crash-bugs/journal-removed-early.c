// Journal removed early (ALICE, in databases): the old bytes are thrown away while the new ones are in the page cache.
#include "crash-files.h"

// Two blocks that are always equal.
struct data {
  uint32_t left;
  char between[1020];
  uint32_t right;
};

static struct data data;

static void store(int sync) { write_file("data", 0, &data, sizeof data, sync); }

static void remove_journal(void) {
  must(unlink("journal") == 0);
  sync_directory();
}

static void recover(void) {
  struct data old;
  // A journal that is not whole was never needed: the data is as it was.
  if (read_file("journal", &old, sizeof old) == sizeof old && old.between[0] == 'j') {
    data = old;
    store(1);
  }
  if (access("journal", F_OK) == 0) remove_journal();
  data = (struct data){0};
  read_file("data", &data, sizeof data);
}

int main(void) {
  recover();
  if (access("data", F_OK) != 0) {
    store(1);
    sync_directory();
  }
  while (data.left < 3) {
    struct data next = data;
    data.between[0] = 0;
    write_file("journal.new", O_TRUNC, &data, sizeof data, 1);
    int file = open("journal.new", O_WRONLY); // marked whole once it is
    must(file >= 0 && pwrite(file, "j", 1, offsetof(struct data, between)) == 1 && fsync(file) == 0);
    close(file);
    must(rename("journal.new", "journal") == 0);
    sync_directory();
    next.left++;
    next.right++;
    data = next;
    store(!BUGGY);
    remove_journal();
    if (BUGGY) store(1);
    vermilion_promise(data.left);
  }
  return 0;
}

CHECKER {
  recover();
  if (data.left != data.right) return 1;
  return data.left < promised ? 2 : 0;
}
