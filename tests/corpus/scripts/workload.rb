# Blocks, exceptions with ensure and retry, fibers, hashes, strings, regular expressions, big integers, sorting, files.
size = (ARGV[0] || 200).to_i
$digest = 0
def note(text) = text.each_byte { |b| $digest = ($digest * 31 + b) & 0xffffffff }

class Failure < StandardError
  attr_reader :code
  def initialize(code)
    @code = code
    super("failure #{code}")
  end
end

def risky(n)
  tries = 0
  begin
    tries += 1
    raise Failure.new(n) if n % 7 == 0 && tries < 3
    raise ArgumentError, "five" if n % 5 == 0
    Integer("x#{n}") if n % 11 == 0
    n
  rescue Failure
    retry
  ensure
    note("tried #{tries}")
  end
end

def exceptions(count)
  caught = Hash.new(0)
  count.times do |n|
    risky(n)
  rescue ArgumentError => e
    caught[e.message[0, 8]] += 1
  end
  caught.sort.inspect
end

def words(count)
  counts = Hash.new(0)
  text = "The vermilion bird rises from the south, and 12 others follow. " * 4
  count.times do
    text.scan(/[a-z]+/i) { |w| counts[w.downcase.reverse.tr("aeiou", "AEIOU").to_sym] += 1 }
    text = text[1..] + text[0]
  end
  counts.sort_by { |w, n| [-n, w.to_s] }.first(4).inspect
end

def throws(count)
  (1..count).sum { |i| catch(:done) { 10.times { |j| throw :done, j if j * i % 13 == 5 }; 0 } }
end

3.times do |round|
  puts "#{round} exceptions #{exceptions(size)}"
  puts "#{round} words #{words(size / 4)}"
  puts "#{round} throws #{throws(size)}"
  note((1..size).inject(:*).to_s)
  puts "#{round} floats #{(1..size).map { |i| Math.sin(i) }.sort.last.round(12)} digest #{$digest}"
end
