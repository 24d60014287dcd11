#!/bin/sh
# Builds every program of this folder: clang 19 and wasi-libc of Debian 12.
#
#     clang --target=wasm32-wasi -Os -Wl,--strip-debug -o list-push-undo-log.wasm list-push-undo-log.c
#
# CLANG names the compiler, OUT the folder to write to. A wasm-opt in PATH is used by clang, and makes other bytes.
set -e
cd "$(dirname "$0")"
build() {
  name=$1 source=$2
  shift 2
  "${CLANG:-clang}" --target=wasm32-wasi -Os -Wno-unused-function -Wl,--strip-debug "$@" -o "${OUT:-.}/$name.wasm" "$source"
}
build list-push-plain list-push-plain.c
build list-push-undo-log list-push-undo-log.c
build list-push-failure-atomic list-push-failure-atomic.c
build list-push-by-hand list-push-by-hand.c
build list-push-missing-log-entry list-push-undo-log.c -DMISSING_LOG_ENTRY
build list-push-missing-flush list-push-by-hand.c -DMISSING_FLUSH
build list-push-flush-before-store list-push-by-hand.c -DFLUSH_BEFORE_STORE
build list-push-torn-pointer list-push-by-hand.c -DTORN_POINTER
build list-push-size-before-data list-push-by-hand.c -DSIZE_BEFORE_DATA
build balanced-tree-plain balanced-tree.c
build balanced-tree-undo-log balanced-tree.c -DUNDO_LOG
build balanced-tree-failure-atomic balanced-tree.c -DFAILURE_ATOMIC
build balanced-tree-missing-log-entry balanced-tree.c -DUNDO_LOG -DMISSING_LOG_ENTRY
