// A list, a hash map and a B-tree of 16-byte keys and 64-byte values: structures <list|hash|tree> <% inserts> <operations>
//
// What is not an insert is a look-up (in the list: of the first eight). An insert of a key that is there changes its value.
// Map and tree begin with half of all keys. Prints the nanoseconds of the operations, measured here, and a digest of
// what was found, which all ways to persist must agree on.
#include <time.h>
#include "persistence.h"

#define KEYS 100000
#define MOST_ITEMS 7 // of a node of the tree
#define VALUE_WORDS 8

struct key {
  uint64_t high, low;
};

struct item {
  REF(item) next;
  struct key key;
  uint64_t value[VALUE_WORDS];
};

struct node {
  int32_t count, leaf;
  REF(item) items[MOST_ITEMS];
  REF(node) children[MOST_ITEMS + 1];
};

static struct root *root;

static uint64_t scatter(uint64_t x) {
  x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
  x = (x ^ x >> 27) * 0x94d049bb133111ebu;
  return x ^ x >> 31;
}

static struct key key_of(uint64_t number) { return (struct key){scatter(number), number}; }

static int compare(struct key a, struct key b) {
  if (a.high != b.high) return a.high < b.high ? -1 : 1;
  return a.low == b.low ? 0 : a.low < b.low ? -1 : 1;
}

static REF(item) new_item(struct key key, uint64_t number, REF(item) next) {
  REF(item) ref = NEW(item);
  struct item *item = AT(item, ref);
  if (item == NULL) abort();
  item->next = next;
  item->key = key;
  for (int i = 0; i < VALUE_WORDS; i++) item->value[i] = number + i;
  return ref;
}

static void change(struct item *item, uint64_t number) {
  WILL_CHANGE(item->value, sizeof item->value);
  for (int i = 0; i < VALUE_WORDS; i++) STORE(item->value[i], number + i);
}

static void list_insert(struct key key, uint64_t number) {
  BEGIN
    REF(item) ref = new_item(key, number, root->list);
    WILL_CHANGE(&root->list, sizeof root->list);
    STORE(root->list, ref);
  END
}

static uint64_t list_find(struct key key) {
  struct item *item = AT(item, root->list);
  for (int i = 0; i < 8 && item != NULL; i++, item = AT(item, item->next))
    if (compare(item->key, key) <= 0) return item->value[i];
  return 0;
}

static struct item *hash_search(struct key key) {
  struct item *item = AT(item, root->buckets[key.high % BUCKETS]);
  while (item != NULL && compare(item->key, key) != 0) item = AT(item, item->next);
  return item;
}

static void hash_insert(struct key key, uint64_t number) {
  BEGIN
    struct item *item = hash_search(key);
    if (item != NULL) {
      change(item, number);
    } else {
      REF(item) *bucket = &root->buckets[key.high % BUCKETS];
      REF(item) ref = new_item(key, number, *bucket);
      WILL_CHANGE(bucket, sizeof *bucket);
      STORE(*bucket, ref);
    }
  END
}

static uint64_t hash_find(struct key key) {
  const struct item *item = hash_search(key);
  return item == NULL ? 0 : item->value[key.low % VALUE_WORDS];
}

static REF(node) new_node(int leaf) {
  REF(node) ref = NEW(node);
  struct node *node = AT(node, ref);
  if (node == NULL) abort();
  memset(node, 0, sizeof *node);
  node->leaf = leaf;
  return ref;
}

static int position(const struct node *node, struct key key) {
  int at = 0;
  while (at < node->count && compare(AT(item, node->items[at])->key, key) < 0) at++;
  return at;
}

// The full child at `at` becomes two, with its middle between them.
static void split(struct node *parent, int at) {
  struct node *left = AT(node, parent->children[at]);
  const int half = MOST_ITEMS / 2;
  REF(node) ref = new_node(left->leaf);
  struct node *right = AT(node, ref);
  right->count = half;
  memcpy(right->items, left->items + half + 1, half * sizeof *right->items);
  memcpy(right->children, left->children + half + 1, (half + 1) * sizeof *right->children);
  WILL_CHANGE(left, sizeof left->count);
  STORE(left->count, half);
  WILL_CHANGE(parent, sizeof *parent);
  for (int i = parent->count; i > at; i--) {
    STORE(parent->items[i], parent->items[i - 1]);
    STORE(parent->children[i + 1], parent->children[i]);
  }
  STORE(parent->items[at], left->items[half]);
  STORE(parent->children[at + 1], ref);
  STORE(parent->count, parent->count + 1);
}

static void put(struct node *node, int at, REF(item) item) {
  WILL_CHANGE(node, sizeof *node);
  for (int i = node->count; i > at; i--) STORE(node->items[i], node->items[i - 1]);
  STORE(node->items[at], item);
  STORE(node->count, node->count + 1);
}

static void insert_below(struct node *node, struct key key, uint64_t number) {
  for (;;) {
    int at = position(node, key);
    struct item *item = at < node->count ? AT(item, node->items[at]) : NULL;
    if (item != NULL && compare(item->key, key) == 0) return change(item, number);
    if (node->leaf) return put(node, at, new_item(key, number, NOTHING));
    if (AT(node, node->children[at])->count == MOST_ITEMS) split(node, at);
    else node = AT(node, node->children[at]);
  }
}

static void tree_insert(struct key key, uint64_t number) {
  BEGIN
    struct node *top = AT(node, root->tree);
    if (top == NULL || top->count == MOST_ITEMS) {
      REF(node) ref = new_node(top == NULL);
      AT(node, ref)->children[0] = root->tree;
      WILL_CHANGE(&root->tree, sizeof root->tree);
      STORE(root->tree, ref);
      if (top != NULL) split(AT(node, ref), 0);
    }
    insert_below(AT(node, root->tree), key, number);
  END
}

static uint64_t tree_find(struct key key) {
  for (const struct node *node = AT(node, root->tree); node != NULL;) {
    int at = position(node, key);
    const struct item *item = at < node->count ? AT(item, node->items[at]) : NULL;
    if (item != NULL && compare(item->key, key) == 0) return item->value[key.low % VALUE_WORDS];
    if (node->leaf) return 0;
    node = AT(node, node->children[at]);
  }
  return 0;
}

static const struct {
  const char *name;
  void (*insert)(struct key, uint64_t);
  uint64_t (*find)(struct key);
  int fill;
} structures[] = {
    {"list", list_insert, list_find, 16},
    {"hash", hash_insert, hash_find, KEYS / 2},
    {"tree", tree_insert, tree_find, KEYS / 2},
};

static uint64_t nanoseconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

int main(int argc, char **argv) {
  if (argc != 4) return fputs("structures: list, hash or tree, percent of inserts, operations\n", stderr), 2;
  int chosen = argv[1][0] == 'l' ? 0 : argv[1][0] == 'h' ? 1 : 2;
  uint64_t inserts = strtoull(argv[2], NULL, 10), count = strtoull(argv[3], NULL, 10), digest = 0;
  root = open_root();
  for (int i = 0; i < structures[chosen].fill; i++) structures[chosen].insert(key_of((uint64_t)i * 2), (uint64_t)i);
  uint64_t started = nanoseconds();
  for (uint64_t i = 0; i < count; i++) {
    uint64_t random = scatter(i + 1);
    struct key key = key_of((random >> 20) % KEYS);
    if (random % 100 < inserts) structures[chosen].insert(key, i);
    else digest = digest * 31 + structures[chosen].find(key);
  }
  printf("%llu %llu\n", (unsigned long long)(nanoseconds() - started), (unsigned long long)digest);
  return 0;
}
