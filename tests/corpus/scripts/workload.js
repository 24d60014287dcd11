// Closures, classes, exceptions, generators, promises, regular expressions, typed arrays, JSON, sorting, big integers.
const size = Number(scriptArgs[0] ?? 300);
let digest = 0;
function note(text) {
  for (let i = 0; i < text.length; i++) digest = (Math.imul(digest, 31) + text.charCodeAt(i)) | 0;
}

class Shape {
  #name;
  constructor(name) {
    this.#name = name;
  }
  get name() {
    return this.#name;
  }
  area() {
    throw new TypeError(`${this.#name} has no area`);
  }
}
class Square extends Shape {
  constructor(side) {
    super("square");
    this.side = side;
  }
  area() {
    return this.side ** 2;
  }
}

function exceptions(count) {
  let caught = 0;
  for (let i = 0; i < count; i++) {
    const shape = i % 3 === 0 ? new Shape("blob") : new Square(i % 17);
    try {
      note(String(shape.area()));
      if (i % 5 === 0) null.property;
    } catch (error) {
      caught++;
      note(error.name);
    } finally {
      note(shape.name);
    }
  }
  return caught;
}

function* primes(limit) {
  const composite = new Uint8Array(limit + 1);
  for (let i = 2; i <= limit; i++) {
    if (composite[i]) continue;
    yield i;
    for (let j = i * i; j <= limit; j += i) composite[j] = 1;
  }
}

function strings(count) {
  const counts = new Map();
  let text = "The vermilion bird rises from the south, and 12 others follow on 2026-11-21. ".repeat(4);
  for (let i = 0; i < count; i++) {
    for (const [word] of text.matchAll(/[a-z]+/gi)) counts.set(word, (counts.get(word) ?? 0) + 1);
    text = text.replace(/(\d+)-(\d+)/, (_, a, b) => `${b}-${a}`).slice(1) + text[0];
  }
  return JSON.stringify([...counts].sort(([a, m], [b, n]) => n - m || (a < b ? -1 : 1)).slice(0, 4));
}

function factorial(n) {
  let product = 1n;
  for (let i = 2n; i <= n; i++) product *= i;
  return product.toString();
}

async function chain(count) {
  let sum = 0;
  for (let i = 0; i < count; i++) {
    sum += await (i % 7 === 0 ? Promise.reject(new Error("seven")).catch(() => -i) : Promise.resolve(i));
  }
  return sum;
}

(async () => {
  for (let round = 1; round <= 4; round++) {
    print(round, "exceptions", exceptions(size * 4));
    let count = 0;
    let last = 0;
    for (const prime of primes(size * 40)) {
      count++;
      last = prime;
    }
    print(round, "primes", count, last);
    print(round, "strings", strings(size / 4));
    note(factorial(BigInt(Math.min(size, 600))));
    print(round, "promises", await chain(size));
    const floats = Float64Array.from({ length: size * 4 }, (_, i) => Math.sin(i) * 1e6).sort();
    print(round, "floats", floats[0], floats[size].toFixed(3), (0.1 + 0.2) * round);
    print(round, "digest", digest >>> 0);
  }
})();
