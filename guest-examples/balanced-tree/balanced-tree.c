// An AVL tree under inserts and removals. In SoftPM's terms the whole tree hangs from one root; here nothing names the
// root, because all of memory persists. A failure in the middle of a rotation leaves the tree in the middle of that
// rotation, and the resume finishes it.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

struct tree {
  uint32_t key;
  int32_t height;
  struct tree *left, *right;
};

static size_t count_of_nodes;

static int32_t height(const struct tree *tree) { return tree == NULL ? 0 : tree->height; }

static void update(struct tree *tree) {
  int32_t left = height(tree->left), right = height(tree->right);
  tree->height = (left > right ? left : right) + 1;
}

static struct tree *rotate_right(struct tree *tree) {
  struct tree *root = tree->left;
  tree->left = root->right;
  root->right = tree;
  update(tree);
  update(root);
  return root;
}

static struct tree *rotate_left(struct tree *tree) {
  struct tree *root = tree->right;
  tree->right = root->left;
  root->left = tree;
  update(tree);
  update(root);
  return root;
}

static struct tree *balance(struct tree *tree) {
  update(tree);
  int32_t lean = height(tree->left) - height(tree->right);
  if (lean > 1) {
    if (height(tree->left->left) < height(tree->left->right)) tree->left = rotate_left(tree->left);
    return rotate_right(tree);
  }
  if (lean < -1) {
    if (height(tree->right->right) < height(tree->right->left)) tree->right = rotate_right(tree->right);
    return rotate_left(tree);
  }
  return tree;
}

static struct tree *insert(struct tree *tree, uint32_t key) {
  if (tree == NULL) {
    struct tree *leaf = calloc(1, sizeof *leaf);
    if (leaf == NULL) {
      fprintf(stderr, "balanced-tree: out of memory\n");
      exit(1);
    }
    leaf->key = key;
    leaf->height = 1;
    count_of_nodes++;
    return leaf;
  }
  if (key < tree->key) tree->left = insert(tree->left, key);
  else if (key > tree->key) tree->right = insert(tree->right, key);
  else return tree;
  return balance(tree);
}

static struct tree *remove_smallest(struct tree *tree, struct tree **smallest) {
  if (tree->left == NULL) {
    *smallest = tree;
    return tree->right;
  }
  tree->left = remove_smallest(tree->left, smallest);
  return balance(tree);
}

static struct tree *remove_key(struct tree *tree, uint32_t key) {
  if (tree == NULL) return NULL;
  if (key < tree->key) tree->left = remove_key(tree->left, key);
  else if (key > tree->key) tree->right = remove_key(tree->right, key);
  else {
    struct tree *left = tree->left, *right = tree->right;
    free(tree);
    count_of_nodes--;
    if (right == NULL) return left;
    struct tree *successor;
    right = remove_smallest(right, &successor);
    successor->left = left;
    successor->right = right;
    tree = successor;
  }
  return balance(tree);
}

// Returns the number of nodes, or exits when an invariant does not hold.
static size_t check(const struct tree *tree, int64_t above, int64_t below) {
  if (tree == NULL) return 0;
  int32_t left = height(tree->left), right = height(tree->right);
  int balanced = left - right <= 1 && right - left <= 1 && tree->height == (left > right ? left : right) + 1;
  if (!balanced || tree->key <= above || tree->key >= below) {
    fprintf(stderr, "balanced-tree: key %u breaks an invariant\n", tree->key);
    exit(1);
  }
  return check(tree->left, above, tree->key) + 1 + check(tree->right, tree->key, below);
}

int main(int argc, char **argv) {
  uint32_t rounds = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 10) : 10;
  struct tree *root = NULL;
  uint32_t random = 2463534242u;
  for (uint32_t round = 1; round <= rounds; round++) {
    for (uint32_t i = 0; i < 30000; i++) {
      random ^= random << 13, random ^= random >> 17, random ^= random << 5;
      uint32_t key = random % 50000;
      root = i % 3 == 2 ? remove_key(root, key) : insert(root, key);
    }
    size_t nodes = check(root, -1, INT64_MAX);
    printf("round %u: %zu nodes, height %d, root %u\n", round, nodes, height(root), root->key);
    if (nodes != count_of_nodes) return 1;
  }
  return 0;
}
