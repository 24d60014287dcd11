// C++ exceptions of the guest's own: thrown through frames with destructors, caught by type, by base class and by
// catch (...), rethrown, thrown out of a catch block, and carried across calls through function pointers.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

std::uint64_t digest = 14695981039346656037u;
int live;

void note(std::uint64_t value) { digest = (digest ^ value) * 1099511628211u; }

struct Guard {
  int number;
  explicit Guard(int n) : number(n) { live++; }
  Guard(const Guard &) = delete;
  ~Guard() {
    live--;
    note(static_cast<std::uint64_t>(number));
    // A loop in a destructor: a power failure may strike while the guest unwinds.
    for (int i = 0; i < number % 5; i++) note(static_cast<std::uint64_t>(i));
  }
};

struct Fault : std::runtime_error {
  int depth;
  Fault(const std::string &text, int d) : std::runtime_error(text), depth(d) {}
};

struct Quiet {};

[[gnu::noinline]] int descend(int depth, int kind) {
  Guard guard(depth);
  if (depth == 0) {
    switch (kind % 5) {
      case 0: throw Fault("bottom " + std::to_string(kind), depth);
      case 1: throw kind;
      case 2: throw Quiet{};
      case 3: throw std::out_of_range("range " + std::to_string(kind));
      default: return kind;
    }
  }
  try {
    Guard inner(depth * 100);
    return descend(depth - 1, kind) + 1;
  } catch (const Fault &fault) {
    note(static_cast<std::uint64_t>(fault.depth));
    if (depth % 3 == 0) throw Fault(std::string(fault.what()) + "/" + std::to_string(depth), depth);
    throw;
  } catch (int number) {
    if (depth % 4 == 0) throw number + depth;
    throw;
  } catch (...) {
    note(7);
    if (depth == 2 && kind % 2 == 0) return -depth;
    throw;
  }
}

std::string attempt(int (*action)(int, int), int depth, int kind) {
  try {
    return "returned " + std::to_string(action(depth, kind));
  } catch (const std::runtime_error &error) {
    return std::string("runtime_error ") + error.what();
  } catch (const std::exception &error) {
    return std::string("exception ") + error.what();
  } catch (int number) {
    return "int " + std::to_string(number);
  } catch (...) {
    try {
      throw;
    } catch (const Quiet &) {
      return "quiet";
    }
  }
}

} // namespace

int main(int argc, char **argv) {
  int rounds = argc > 1 ? std::atoi(argv[1]) : 2000;
  for (int round = 0; round < rounds; round++) {
    std::string outcome = attempt(descend, round % 9, round);
    for (char c : outcome) note(static_cast<std::uint64_t>(c));
    if (round < 12 || round % (rounds / 8 + 1) == 0) std::printf("%d: %s\n", round, outcome.c_str());
    if (live != 0) return 3;
  }
  std::vector<int> numbers(4);
  try {
    numbers.at(9) = 1;
  } catch (const std::exception &) {
    std::printf("at: caught\n");
  }
  std::printf("digest %016llx\n", static_cast<unsigned long long>(digest));
  return 0;
}
