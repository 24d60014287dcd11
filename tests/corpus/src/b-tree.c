// A B-tree in memory: inserts, look-ups, walks in order, removals by rebuilding. b-tree <count>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MOST_KEYS 15 // odd: a full node splits into two halves around its middle

struct node {
  int count, leaf;
  uint64_t keys[MOST_KEYS], values[MOST_KEYS];
  struct node *children[MOST_KEYS + 1];
};

static struct node *new_node(int leaf) {
  struct node *node = calloc(1, sizeof *node);
  if (node == NULL) abort();
  node->leaf = leaf;
  return node;
}

static int position(const struct node *node, uint64_t key) {
  int low = 0, high = node->count;
  while (low < high) {
    int middle = (low + high) / 2;
    if (node->keys[middle] < key) low = middle + 1;
    else high = middle;
  }
  return low;
}

static void split_child(struct node *parent, int at) {
  struct node *child = parent->children[at], *right = new_node(child->leaf);
  const int half = MOST_KEYS / 2;
  right->count = half;
  memcpy(right->keys, child->keys + half + 1, half * sizeof *right->keys);
  memcpy(right->values, child->values + half + 1, half * sizeof *right->values);
  memcpy(right->children, child->children + half + 1, (half + 1) * sizeof *right->children);
  child->count = half;
  int moved = parent->count - at;
  memmove(parent->keys + at + 1, parent->keys + at, moved * sizeof *parent->keys);
  memmove(parent->values + at + 1, parent->values + at, moved * sizeof *parent->values);
  memmove(parent->children + at + 2, parent->children + at + 1, moved * sizeof *parent->children);
  parent->keys[at] = child->keys[half], parent->values[at] = child->values[half];
  parent->children[at + 1] = right;
  parent->count++;
}

static struct node *insert(struct node *root, uint64_t key, uint64_t value) {
  if (root->count == MOST_KEYS) {
    struct node *top = new_node(0);
    top->children[0] = root;
    split_child(top, 0);
    root = top;
  }
  for (struct node *node = root;;) {
    int at = position(node, key);
    if (at < node->count && node->keys[at] == key) return node->values[at] += value, root;
    if (node->leaf) {
      int moved = node->count - at;
      memmove(node->keys + at + 1, node->keys + at, moved * sizeof *node->keys);
      memmove(node->values + at + 1, node->values + at, moved * sizeof *node->values);
      node->keys[at] = key, node->values[at] = value, node->count++;
      return root;
    }
    if (node->children[at]->count == MOST_KEYS) {
      split_child(node, at);
      if (key == node->keys[at]) continue;
      if (key > node->keys[at]) at++;
    }
    node = node->children[at];
  }
}

static const uint64_t *find(const struct node *node, uint64_t key) {
  for (;;) {
    int at = position(node, key);
    if (at < node->count && node->keys[at] == key) return &node->values[at];
    if (node->leaf) return NULL;
    node = node->children[at];
  }
}

static uint64_t walk(const struct node *node, uint64_t digest) {
  for (int i = 0; i <= node->count; i++) {
    if (!node->leaf) digest = walk(node->children[i], digest);
    if (i < node->count) digest = digest * 31 + (node->keys[i] ^ node->values[i]);
  }
  return digest;
}

static void drop(struct node *node) {
  if (!node->leaf)
    for (int i = 0; i <= node->count; i++) drop(node->children[i]);
  free(node);
}

int main(int argc, char **argv) {
  uint32_t count = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 10) : 100000;
  uint64_t random = 88172645463325252u, found = 0, digest = 0;
  for (int round = 0; round < 3; round++) {
    struct node *root = new_node(1);
    for (uint32_t i = 0; i < count; i++) {
      random ^= random << 13, random ^= random >> 7, random ^= random << 17;
      root = insert(root, random % (count * 2u), i);
      const uint64_t *value = find(root, (random >> 20) % (count * 2u));
      if (value != NULL) found += *value;
    }
    digest = walk(root, digest);
    drop(root);
  }
  printf("%u: found %llu, digest %llu\n", count, (unsigned long long)found, (unsigned long long)digest);
  return 0;
}
