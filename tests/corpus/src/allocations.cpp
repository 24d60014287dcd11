// C++ that allocates: maps of strings, trees of unique_ptr, lists, vectors of vectors. allocations <rounds>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <list>
#include <map>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

namespace {

struct Tree {
  std::unique_ptr<Tree> left, right;
  explicit Tree(int depth) {
    if (depth == 0) return;
    left = std::make_unique<Tree>(depth - 1);
    right = std::make_unique<Tree>(depth - 1);
  }
  int count() const { return 1 + (left ? left->count() + right->count() : 0); }
};

std::uint64_t round(std::uint32_t seed) {
  std::uint64_t digest = Tree(14).count();
  std::unordered_map<std::string, std::vector<std::uint32_t>> places;
  std::map<std::string, std::string> ordered;
  std::list<std::string> recent;
  for (std::uint32_t i = 0; i < 40000; i++) {
    seed = seed * 1664525u + 1013904223u;
    std::string key = "a key long enough for the heap, " + std::to_string((seed >> 12) % 6000);
    places[key].push_back(i);
    if (i % 4 == 0) ordered[key] += static_cast<char>('a' + i % 26);
    recent.push_back(std::move(key));
    if (recent.size() > 500) recent.pop_front();
  }
  for (const auto &[key, value] : ordered) digest = digest * 31 + key.size() * value.size();
  for (const auto &key : recent) digest += places.at(key).size();
  return digest;
}

} // namespace

int main(int argc, char **argv) {
  const int rounds = argc > 1 ? std::atoi(argv[1]) : 5;
  std::uint64_t digest = 0;
  for (int i = 0; i < rounds; i++) digest = digest * 131 + round(static_cast<std::uint32_t>(i));
  std::printf("%d: %llu\n", rounds, static_cast<unsigned long long>(digest));
  return 0;
}
