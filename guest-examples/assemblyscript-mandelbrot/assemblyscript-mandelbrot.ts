// The Mandelbrot set in characters: AssemblyScript's own compiler, allocator and garbage collector. Each row is built as
// a managed string and printed by the WASI shim's console.
const WIDTH = 72;
const HEIGHT = 28;
const SHADES = " .:-=+*%@#";

function escapeTime(re: f64, im: f64, limit: i32): i32 {
  let x = 0.0;
  let y = 0.0;
  for (let steps = 0; steps < limit; steps++) {
    const xx = x * x;
    const yy = y * y;
    if (xx + yy > 4.0) return steps;
    y = 2.0 * x * y + im;
    x = xx - yy + re;
  }
  return limit;
}

const limit = process.argv.length > 1 ? <i32>parseInt(process.argv[1]) : 2000;
let inside = 0;
for (let row = 0; row < HEIGHT; row++) {
  let line = "";
  for (let column = 0; column < WIDTH; column++) {
    const re = -2.2 + (3.2 * <f64>column) / <f64>WIDTH;
    const im = -1.2 + (2.4 * <f64>row) / <f64>HEIGHT;
    const steps = escapeTime(re, im, limit);
    if (steps == limit) inside++;
    line += SHADES.charAt(steps == limit ? SHADES.length - 1 : steps % (SHADES.length - 1));
  }
  console.log(line);
}
console.log(inside.toString() + " points did not escape in " + limit.toString() + " steps");
