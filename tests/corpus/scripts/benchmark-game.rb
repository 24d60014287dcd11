# The well-known small contests of languages, written anew: benchmark-game.rb <name> <size>
def make(depth) = depth.zero? ? [nil, nil] : [make(depth - 1), make(depth - 1)]
def count(tree) = tree[0] ? 1 + count(tree[0]) + count(tree[1]) : 1

def binary_trees(depth)
  long_lived = make(depth)
  total = 4.step(depth, 4).sum { |d| (1 << (depth - d + 4)).times.sum { count(make(d)) } }
  total + count(long_lived)
end

def fannkuch(size)
  best = 0
  (1..size).to_a.permutation do |order|
    flips = 0
    while (first = order[0]) != 1
      order[0, first] = order[0, first].reverse
      flips += 1
    end
    best = flips if flips > best
  end
  best
end

def mandelbrot(size)
  inside = 0
  size.times do |row|
    size.times do |column|
      cr, ci = 2.0 * column / size - 1.5, 2.0 * row / size - 1.0
      zr = zi = 0.0
      steps = 0
      while steps < 50 && zr * zr + zi * zi < 4.0
        zr, zi = zr * zr - zi * zi + cr, 2.0 * zr * zi + ci
        steps += 1
      end
      inside += 1 if steps == 50
    end
  end
  inside
end

def spectral_norm(size)
  times = lambda do |from, transposed|
    Array.new(size) do |i|
      sum = 0.0
      size.times do |j|
        row, column = transposed ? [j, i] : [i, j]
        sum += from[j] / ((row + column) * (row + column + 1) / 2 + row + 1)
      end
      sum
    end
  end
  u = Array.new(size, 1.0)
  v = nil
  5.times do
    v = times.(times.(u, false), true)
    u = times.(times.(v, false), true)
  end
  format("%.9f", Math.sqrt(u.zip(v).sum { |a, b| a * b } / v.sum { |b| b * b }))
end

puts "#{ARGV[0]} #{send(ARGV[0].tr("-", "_"), ARGV[1].to_i)}"
