// C++ without exceptions: virtual calls through a hierarchy, templates, std::vector, std::map, std::function, std::sort.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <map>
#include <memory>
#include <numeric>
#include <string>
#include <vector>

namespace {

struct Shape {
  virtual ~Shape() = default;
  virtual double area() const = 0;
  virtual std::string name() const { return "shape"; }
  virtual void scale(double factor) = 0;
};

struct Circle final : Shape {
  double radius;
  explicit Circle(double r) : radius(r) {}
  double area() const override { return 3.141592653589793 * radius * radius; }
  std::string name() const override { return "circle"; }
  void scale(double factor) override { radius *= factor; }
};

struct Rectangle : Shape {
  double width, height;
  Rectangle(double w, double h) : width(w), height(h) {}
  double area() const override { return width * height; }
  std::string name() const override { return "rectangle"; }
  void scale(double factor) override { width *= factor, height /= factor; }
};

struct Square : Rectangle {
  explicit Square(double side) : Rectangle(side, side) {}
  std::string name() const override { return "square"; }
};

struct Group : Shape {
  std::vector<std::unique_ptr<Shape>> members;
  double area() const override {
    return std::accumulate(members.begin(), members.end(), 0.0, [](double sum, const auto &m) { return sum + m->area(); });
  }
  std::string name() const override { return "group of " + std::to_string(members.size()); }
  void scale(double factor) override {
    for (auto &member : members) member->scale(factor);
  }
};

std::unique_ptr<Shape> make(std::uint32_t &random, int depth) {
  random = random * 1664525u + 1013904223u;
  switch ((random >> 16) % (depth > 0 ? 4 : 3)) {
    case 0: return std::make_unique<Circle>(1 + random % 5);
    case 1: return std::make_unique<Rectangle>(1 + random % 3, 2 + random % 7);
    case 2: return std::make_unique<Square>(1 + random % 4);
    default: {
      auto group = std::make_unique<Group>();
      for (int i = 0; i < 5; i++) group->members.push_back(make(random, depth - 1));
      return group;
    }
  }
}

} // namespace

int main(int argc, char **argv) {
  int rounds = argc > 1 ? std::atoi(argv[1]) : 60;
  std::uint32_t random = 7;
  std::vector<std::unique_ptr<Shape>> shapes;
  for (int i = 0; i < 2000; i++) shapes.push_back(make(random, 3));
  std::vector<std::function<double(const Shape &)>> measures = {
      [](const Shape &s) { return s.area(); },
      [rounds](const Shape &s) { return s.area() / rounds; },
  };
  for (int round = 0; round < rounds; round++) {
    std::map<std::string, double> totals;
    for (auto &shape : shapes) totals[shape->name()] += measures[static_cast<std::size_t>(round) % 2](*shape);
    for (auto &shape : shapes) shape->scale(round % 2 == 0 ? 1.01 : 0.99);
    std::stable_sort(shapes.begin(), shapes.end(), [](const auto &a, const auto &b) { return a->area() < b->area(); });
    if (round % (rounds / 4 + 1) == 0 || round == rounds - 1) {
      std::printf("round %d\n", round);
      for (const auto &[name, total] : totals) std::printf("  %-12s %.6f\n", name.c_str(), total);
    }
  }
  return 0;
}
