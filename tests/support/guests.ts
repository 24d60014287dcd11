/** Small guests in WebAssembly text, for tests of everything around a guest. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import binaryen from "binaryen";

/** The module of a guest example that is committed. */
export function exampleModule(name: string): string {
  return fileURLToPath(new URL(`../../guest-examples/${name}/${name}.wasm`, import.meta.url));
}

/** Writes a guest as `<name>.wasm` into a directory; the result is its path. */
export function placeGuest(directory: string, name: keyof typeof TEXTS): string {
  const path = join(directory, `${name}.wasm`);
  writeFileSync(path, assembleText(TEXTS[name]));
  return path;
}

export function assembleText(text: string): Uint8Array {
  const module = binaryen.parseText(text);
  module.setFeatures(binaryen.Features.MutableGlobals | binaryen.Features.Multivalue);
  const bytes = module.emitBinary();
  module.dispose();
  return bytes;
}

const WASI = `
  (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_read" (func $fd_read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll_oneoff (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $proc_exit (param i32)))
  (import "wasi_snapshot_preview1" "args_sizes_get" (func $args_sizes_get (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "args_get" (func $args_get (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "environ_sizes_get" (func $environ_sizes_get (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "environ_get" (func $environ_get (param i32 i32) (result i32)))
  (memory (export "memory") 2 4)

  (func $write (param $from i32) (param $length i32)
    (i32.store (i32.const 0) (local.get $from))
    (i32.store (i32.const 4) (local.get $length))
    (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8))))

  ;; decimal digits and a newline
  (func $print (param $value i32) (local $at i32)
    (local.set $at (i32.const 64))
    (i32.store8 (local.get $at) (i32.const 10))
    (loop $digits
      (local.set $at (i32.sub (local.get $at) (i32.const 1)))
      (i32.store8 (local.get $at) (i32.add (i32.const 48) (i32.rem_u (local.get $value) (i32.const 10))))
      (local.set $value (i32.div_u (local.get $value) (i32.const 10)))
      (br_if $digits (local.get $value)))
    (call $write (local.get $at) (i32.sub (i32.const 65) (local.get $at))))
`;

const TEXTS = {
  /** Prints 1 to 40, each after a few milliseconds of work whose result is printed at the end; exits with 7. */
  counter: `(module ${WASI}
    (func $work (param $state i32) (param $rounds i32) (result i32)
      (loop $again
        (local.set $state (i32.xor (i32.shl (local.get $state) (i32.const 5)) (i32.mul (local.get $state) (i32.const 69069))))
        (local.set $rounds (i32.sub (local.get $rounds) (i32.const 1)))
        (br_if $again (local.get $rounds)))
      (local.get $state))
    (func (export "_start") (local $count i32) (local $state i32)
      (local.set $state (i32.const 12345))
      (loop $next
        (local.set $state (call $work (local.get $state) (i32.const 4000000)))
        (local.set $count (i32.add (local.get $count) (i32.const 1)))
        (call $print (local.get $count))
        (br_if $next (i32.lt_u (local.get $count) (i32.const 40))))
      (call $print (local.get $state))
      (call $proc_exit (i32.const 7))))`,
  /**
   * Writes and reads 8 MiB at random for some seconds, grows its memory on the way, and prints a sum of all at the end:
   * a single word that is not what it should be shows.
   */
  churn: `(module ${WASI.replace('"memory") 2 4', '"memory") 64 128')}
    (func (export "_start") (local $step i32) (local $at i32) (local $sum i32) (local $state i32)
      (local.set $state (i32.const 12345))
      (loop $again
        (local.set $state (i32.add (i32.mul (local.get $state) (i32.const 1664525)) (i32.const 1013904223)))
        ;; few steps go anywhere, most into one of 16 pages: pages of all ages
        (local.set $at (i32.and (i32.shr_u (local.get $state) (i32.const 8))
          (select (i32.const 0x3ffffc) (i32.const 0xfffc) (i32.eqz (i32.and (local.get $step) (i32.const 4095))))))
        (local.set $at (i32.add (i32.const 1024) (i32.rem_u (local.get $at) (i32.const 4000000))))
        (local.set $sum (i32.add (local.get $sum) (i32.load (local.get $at))))
        (i32.store (local.get $at) (i32.xor (local.get $state) (i32.load (local.get $at))))
        (if (i32.eq (local.get $step) (i32.const 100000000)) (then (drop (memory.grow (i32.const 64)))))
        (br_if $again (i32.lt_u (local.tee $step (i32.add (local.get $step) (i32.const 1))) (i32.const 300000000))))
      (local.set $at (i32.const 1024))
      (loop $read
        (local.set $sum (i32.add (i32.mul (local.get $sum) (i32.const 31)) (i32.load (local.get $at))))
        (br_if $read (i32.lt_u (local.tee $at (i32.add (local.get $at) (i32.const 4))) (i32.const 4100000))))
      (call $print (local.get $sum))
      (call $print (memory.size))))`,
  /**
   * Writes 400 numbers into the file "out" of the directory 3, each after some milliseconds of work that goes on from the
   * number before, and at last a sum over its memory, which holds them all.
   */
  ledger: `(module
    (import "wasi_snapshot_preview1" "path_open"
      (func $path_open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
    ${WASI.replace("(call $fd_write (i32.const 1)", "(call $fd_write (i32.const 4)")}
    (func $work (param $state i32) (param $rounds i32) (result i32)
      (loop $again
        (local.set $state (i32.xor (i32.shl (local.get $state) (i32.const 5)) (i32.mul (local.get $state) (i32.const 69069))))
        (local.set $rounds (i32.sub (local.get $rounds) (i32.const 1)))
        (br_if $again (local.get $rounds)))
      (local.get $state))
    (func (export "_start") (local $count i32) (local $state i32)
      (i32.store (i32.const 1024) (i32.const 0x74756f)) ;; "out"
      (if (call $path_open (i32.const 3) (i32.const 0) (i32.const 1024) (i32.const 3) (i32.const 1)
        (i64.const 0x40) (i64.const 0) (i32.const 0) (i32.const 1032)) (then (unreachable)))
      (local.set $state (i32.const 12345))
      (loop $next
        (local.set $state (call $work (local.get $state) (i32.const 4000000)))
        (i32.store (i32.add (i32.const 4096) (i32.mul (i32.const 256) (local.get $count))) (local.get $state))
        (call $print (local.get $state))
        (local.set $count (i32.add (local.get $count) (i32.const 1)))
        (br_if $next (i32.lt_u (local.get $count) (i32.const 400))))
      (loop $sum
        (local.set $count (i32.sub (local.get $count) (i32.const 1)))
        (local.set $state (i32.add (i32.mul (local.get $state) (i32.const 31))
          (i32.load (i32.add (i32.const 4096) (i32.mul (i32.const 256) (local.get $count))))))
        (br_if $sum (local.get $count)))
      (call $print (local.get $state))))`,
  /** Prints its arguments and environment, NULs as newlines, and returns. */
  echo: `(module ${WASI}
    (func (export "_start") (local $bytes i32)
      (drop (call $args_sizes_get (i32.const 16) (i32.const 20)))
      (drop (call $args_get (i32.const 1024) (i32.const 4096)))
      (call $lines (i32.const 4096) (i32.load (i32.const 20)))
      (drop (call $environ_sizes_get (i32.const 16) (i32.const 20)))
      (drop (call $environ_get (i32.const 1024) (i32.const 8192)))
      (call $lines (i32.const 8192) (i32.load (i32.const 20))))
    (func $lines (param $from i32) (param $length i32) (local $at i32)
      (if (i32.eqz (local.get $length)) (then (return)))
      (local.set $at (local.get $from))
      (loop $next
        (if (i32.eqz (i32.load8_u (local.get $at))) (then (i32.store8 (local.get $at) (i32.const 10))))
        (local.set $at (i32.add (local.get $at) (i32.const 1)))
        (br_if $next (i32.lt_u (local.get $at) (i32.add (local.get $from) (local.get $length)))))
      (call $write (local.get $from) (local.get $length))))`,
  /** Copies stdin to stdout, a block at a time, then prints the number of bytes. Exits with the errno of a failed read. */
  cat: `(module ${WASI}
    (func (export "_start") (local $total i32) (local $length i32) (local $error i32)
      (loop $next
        (i32.store (i32.const 0) (i32.const 4096))
        (i32.store (i32.const 4) (i32.const 4096))
        (local.set $error (call $fd_read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)))
        (if (local.get $error) (then (call $proc_exit (local.get $error))))
        (local.set $length (i32.load (i32.const 8)))
        (if (local.get $length)
          (then
            (call $write (i32.const 4096) (local.get $length))
            (local.set $total (i32.add (local.get $total) (local.get $length)))
            (br $next))))
      (call $print (local.get $total))))`,
  /** Prints 1, sleeps for 600 ms, prints 2. */
  sleeper: `(module ${WASI}
    (func (export "_start")
      (call $print (i32.const 1))
      (i32.store (i32.const 1040) (i32.const 1)) ;; clock: monotonic
      (i64.store (i32.const 1048) (i64.const 600000000))
      (drop (call $poll_oneoff (i32.const 1024) (i32.const 2048) (i32.const 1) (i32.const 16)))
      (call $print (i32.const 2))))`,
  trapper: `(module ${WASI}
    (func $depth2 unreachable)
    (func (export "_start") (call $print (i32.const 1)) (call $depth2)))`,
  /** No \`_start\`; functions for --invoke. */
  functions: `(module ${WASI}
    (func (export "add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1)))
    (func (export "mix") (param i32 i64 f32 f64) (result f64 f32 i64 i32)
      (local.get 3) (local.get 2) (local.get 1) (local.get 0))
    (func (export "spin") (result i64) (local $n i64)
      (loop $again
        (local.set $n (i64.add (local.get $n) (i64.const 1)))
        (br_if $again (i64.lt_u (local.get $n) (i64.const 300000000))))
      (local.get $n)))`,
  /** Recurses 60,000 deep, then unwinds and prints the sum of what each activation held. */
  deep: `(module ${WASI}
    (func $down (param $n i32) (result i32)
      (if (result i32) (i32.eqz (local.get $n))
        (then (call $print (i32.const 1)) (i32.const 0))
        (else (i32.add (local.get $n) (call $down (i32.sub (local.get $n) (i32.const 1)))))))
    (func (export "_start") (call $print (call $down (i32.const 60000)))))`,
  /** Recurses for ever. */
  bottomless: `(module ${WASI}
    (func $down (param $n i32) (result i32) (i32.add (local.get $n) (call $down (i32.add (local.get $n) (i32.const 1)))))
    (func (export "_start") (drop (call $down (i32.const 0)))))`,
  /** Grows its memory by a page and prints what memory.grow says: the length before, or -1 as 4294967295. */
  grower: `(module ${WASI}
    (func (export "_start")
      (call $print (memory.grow (i32.const 1)))
      (call $print (memory.size))))`,
  /** Accepts one connection on descriptor 3, prints 1 before and 2 after, and sends back what it receives. */
  server: `(module
    (import "wasi_snapshot_preview1" "sock_accept" (func $sock_accept (param i32 i32 i32) (result i32)))
    ${WASI}
    (func (export "_start")
      (call $print (i32.const 1))
      (if (call $sock_accept (i32.const 3) (i32.const 0) (i32.const 1024)) (then (unreachable)))
      (call $print (i32.const 2))
      (i32.store (i32.const 0) (i32.const 4096))
      (i32.store (i32.const 4) (i32.const 4096))
      (drop (call $fd_read (i32.load (i32.const 1024)) (i32.const 0) (i32.const 1) (i32.const 8)))
      (i32.store (i32.const 4) (i32.load (i32.const 8)))
      (drop (call $fd_write (i32.load (i32.const 1024)) (i32.const 0) (i32.const 1) (i32.const 8)))))`,
  /** Writes 100,000 bytes, 0 to 250 again and again, in as few calls as the system lets it; what fails with EINTR is tried again. */
  pusher: `(module ${WASI}
    (func (export "_start") (local $at i32) (local $errno i32)
      (local.set $at (i32.const 4096))
      (loop $fill
        (i32.store8 (local.get $at) (i32.rem_u (i32.sub (local.get $at) (i32.const 4096)) (i32.const 251)))
        (local.set $at (i32.add (local.get $at) (i32.const 1)))
        (br_if $fill (i32.lt_u (local.get $at) (i32.const 104096))))
      (local.set $at (i32.const 4096))
      (loop $push
        (i32.store (i32.const 0) (local.get $at))
        (i32.store (i32.const 4) (i32.sub (i32.const 104096) (local.get $at)))
        (local.set $errno (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))
        (if (i32.eqz (local.get $errno))
          (then (local.set $at (i32.add (local.get $at) (i32.load (i32.const 8)))))
          (else (if (i32.ne (local.get $errno) (i32.const 27)) (then (unreachable)))))
        (br_if $push (i32.lt_u (local.get $at) (i32.const 104096))))))`,
  /** Grows its memory and opens the directory 3, again and again, and prints what each call returns, until one fails. */
  opener: `(module
    (import "wasi_snapshot_preview1" "path_open"
      (func $path_open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
    ${WASI}
    (func (export "_start") (local $errno i32)
      (i32.store8 (i32.const 1024) (i32.const 46)) ;; "."
      (loop $next
        (drop (memory.grow (i32.const 1)))
        (local.set $errno (call $path_open (i32.const 3) (i32.const 0) (i32.const 1024) (i32.const 1)
          (i32.const 2) (i64.const 0) (i64.const 0) (i32.const 0) (i32.const 1032)))
        (call $print (local.get $errno))
        (br_if $next (i32.eqz (local.get $errno))))))`,
  /** Counts in a global and in memory; what is added is printed first. Only what \`_initialize\` sets makes it 100. */
  reactor: `(module ${WASI}
    (global $total (mut i32) (i32.const 0))
    (func (export "_initialize")
      (call $print (i32.const 7))
      (global.set $total (i32.add (global.get $total) (i32.const 60)))
      (i32.store (i32.const 1024) (i32.add (i32.load (i32.const 1024)) (i32.const 40)))
      (call $print (i32.const 8)))
    (func $add (export "add") (param $amount i32) (result i32)
      (call $print (local.get $amount))
      (global.set $total (i32.add (global.get $total) (local.get $amount)))
      (i32.add (global.get $total) (i32.load (i32.const 1024))))
    (func (export "slow_add") (param $amount i32) (result i32) (local $n i32)
      (loop $again
        (local.set $n (i32.add (local.get $n) (i32.const 1)))
        (br_if $again (i32.lt_u (local.get $n) (i32.const 300000000))))
      (call $add (local.get $amount)))
    (func (export "hang") (call $print (i32.const 9)) (loop $for_ever (br $for_ever)))
    (func (export "leave") (param $status i32) (call $proc_exit (local.get $status)))
    (func (export "fail") (drop (call $add (i32.const 1))) (unreachable)))`,
  /** Wants a function that nobody has. */
  stranger: `(module (import "env" "launch" (func (param i32))) (memory 1) (func (export "_start")))`,
} as const;
