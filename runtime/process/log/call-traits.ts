/** What a recorder has to know of the calls by their names. */
const TRANSFERS = new Set(["fd_read", "fd_write", "fd_pwrite", "sock_recv", "sock_send"]);
const OUTGOING = new Set(["fd_write", "fd_pwrite", "sock_send"]);
const POSITIONED = new Set(["fd_read", "fd_write"]);
const INTENDING = new Set([
  "path_create_directory",
  "path_link",
  "path_open",
  "path_remove_directory",
  "path_rename",
  "path_symlink",
  "path_unlink_file",
]);
const CLOSING = new Set(["fd_close", "fd_renumber"]);
/** A descriptor is made or altered otherwise than its position. */
const CHANGING = new Set(["fd_fdstat_set_flags", "fd_fdstat_set_rights", "fd_readdir", "path_open", "sock_accept"]);
/** After these a descriptor's number may mean another file, or another way of writing to it. */
const MOVING = new Set(["fd_close", "fd_fdstat_set_flags", "fd_renumber", "path_open", "sock_accept"]);

/** What the recorder does about a call, looked up once and not at each. */
export interface Traits {
  readonly name: string;
  readonly transfers: boolean;
  readonly outgoing: boolean;
  readonly mayIntend: boolean;
  readonly positioned: boolean;
  readonly closes: boolean;
  readonly moves: boolean;
  readonly changes: boolean;
}

export function traitsOf(name: string): Traits {
  return {
    name,
    transfers: TRANSFERS.has(name),
    outgoing: OUTGOING.has(name),
    mayIntend: INTENDING.has(name),
    positioned: POSITIONED.has(name),
    closes: CLOSING.has(name),
    moves: MOVING.has(name),
    changes: CHANGING.has(name),
  };
}
