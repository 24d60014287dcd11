#!/bin/sh
# Builds every program of this folder twice, right and with its mistake: clang 19 and wasi-libc of Debian 12.
#
#     clang --target=wasm32-wasi -Os -mbulk-memory -Wl,--strip-debug -o missing-flush.wasm missing-flush.c
#     clang --target=wasm32-wasi -Os -mbulk-memory -Wl,--strip-debug -DBUG -o missing-flush-bug.wasm missing-flush.c
#
# CLANG names the compiler, OUT the folder to write to. A wasm-opt in PATH is used by clang, and makes other bytes.
set -e
cd "$(dirname "$0")"
for source in *.c; do
  name=${source%.c}
  for kind in "" -bug; do
    define=${kind:+-DBUG}
    "${CLANG:-clang}" --target=wasm32-wasi -Os -mbulk-memory -Wno-unused-function -Wl,--strip-debug $define \
      -o "${OUT:-.}/$name$kind.wasm" "$source"
  done
done
