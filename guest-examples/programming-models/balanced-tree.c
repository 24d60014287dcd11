// An AVL tree in persistent memory, SoftPM's example, under inserts: three ways from one source, since they differ only in how a
// store is made and where an operation begins and ends.
//
//     (nothing)          plain: in malloc's memory, for whole-process persistence
//     UNDO_LOG           transactions; a node is logged before it is first changed
//     FAILURE_ATOMIC     sections under a lock; every store is logged
//     MISSING_LOG_ENTRY  with UNDO_LOG, wrong on purpose: a node is logged only if its left side changes
#if defined UNDO_LOG
#include "../pmem-libs/undo-log.h"
#define BEGIN() tx_begin()
#define END() tx_commit()
#define ALLOC(bytes) tx_alloc(bytes)
#define CHANGES(node) tx_add(node, sizeof *(node))
#define SET(place, value) ((place) = (value))
#elif defined FAILURE_ATOMIC
#include "../pmem-libs/failure-atomic.h"
static struct fase_lock lock;
#define BEGIN() fase_lock(&lock)
#define END() fase_unlock(&lock)
#define ALLOC(bytes) pool_alloc(bytes)
#define CHANGES(node) ((void)0)
#define SET(place, value) FASE_SET(place, value)
#else
#define BEGIN() ((void)0)
#define END() ((void)0)
#define ALLOC(bytes) malloc(bytes)
#define CHANGES(node) ((void)0)
#define SET(place, value) ((place) = (value))
#endif

#include "example.h"

struct node {
  uint32_t key;
  int32_t height;
  struct node *left, *right;
};

struct tree {
  struct node *root;
  uint32_t count;
};

static struct tree *tree;

static void open_tree(void) {
#if defined UNDO_LOG || defined FAILURE_ATOMIC
  pool_open();
  if (pool->root == 0) {
    BEGIN();
    struct tree *fresh = ALLOC(sizeof *fresh);
    CHANGES(fresh);
    SET(fresh->root, NULL);
    SET(fresh->count, 0);
    CHANGES(&pool->root);
    SET(pool->root, pool_offset(fresh));
    END();
  }
  tree = pool_at(pool->root);
#else
  static struct tree only;
  tree = &only;
#endif
}

static int32_t height(const struct node *node) { return node == NULL ? 0 : node->height; }

// All nodes that an insert changes, rotations included, lie on its path: insert() has announced them as changing.
static void update(struct node *node) {
  int32_t left = height(node->left), right = height(node->right);
  SET(node->height, (left > right ? left : right) + 1);
}

static struct node *rotate_right(struct node *node) {
  struct node *root = node->left;
  SET(node->left, root->right);
  SET(root->right, node);
  update(node);
  update(root);
  return root;
}

static struct node *rotate_left(struct node *node) {
  struct node *root = node->right;
  SET(node->right, root->left);
  SET(root->left, node);
  update(node);
  update(root);
  return root;
}

static struct node *balance(struct node *node) {
  update(node);
  int32_t lean = height(node->left) - height(node->right);
  if (lean > 1) {
    if (height(node->left->left) < height(node->left->right)) SET(node->left, rotate_left(node->left));
    return rotate_right(node);
  }
  if (lean < -1) {
    if (height(node->right->right) < height(node->right->left)) SET(node->right, rotate_right(node->right));
    return rotate_left(node);
  }
  return node;
}

static struct node *insert(struct node *node, uint32_t key) {
  if (node == NULL) {
    struct node *leaf = ALLOC(sizeof *leaf);
    if (leaf == NULL) exit(1);
    SET(leaf->key, key);
    SET(leaf->height, 1);
    SET(leaf->left, NULL);
    SET(leaf->right, NULL);
    return leaf;
  }
#ifdef MISSING_LOG_ENTRY
  if (key < node->key)
#endif
    CHANGES(node);
  if (key < node->key) SET(node->left, insert(node->left, key));
  else SET(node->right, insert(node->right, key));
  return balance(node);
}

// A permutation of 1, 2, 3... in which both kinds of double rotation occur.
static uint32_t key_of(uint32_t index) { return (index * 7 + 5) % 16384 ^ 3; }

// Nodes below, or -1 when the order or a height is wrong.
static int64_t check(const struct node *node, int64_t above, int64_t below) {
  if (node == NULL) return 0;
  int32_t left = height(node->left), right = height(node->right);
  if (left - right > 1 || right - left > 1 || node->height != (left > right ? left : right) + 1) return -1;
  if (node->key <= above || node->key >= below) return -1;
  int64_t smaller = check(node->left, above, node->key), larger = check(node->right, node->key, below);
  return smaller < 0 || larger < 0 ? -1 : smaller + 1 + larger;
}

int main(int argc, char **argv) {
  uint32_t count = count_from(argc, argv, 6);
  open_tree();
  while (tree->count < count) {
    BEGIN();
    CHANGES(tree);
    struct node *root = insert(tree->root, key_of(tree->count));
    SET(tree->root, root);
    SET(tree->count, tree->count + 1);
    END();
    done(tree->count);
  }
  return 0;
}

CHECKER {
  open_tree();
  if (check(tree->root, -1, INT64_MAX) != tree->count) return 1;
  return tree->count < promised ? 2 : 0;
}
