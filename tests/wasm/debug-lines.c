int table[4];

static __attribute__((noinline)) int twice(int value) {
  table[value & 3] = value;
  return value * 2;
}

__attribute__((export_name("run"))) int run(int value) {
  int sum = 0;
  for (int i = 0; i < value; i++)
    sum += twice(i);
  return sum;
}
