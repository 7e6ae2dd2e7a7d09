import { BulwarkError } from "../../resources/bulwark-error.ts";

/** What of node:ffi is used. Its types come and go with Node's versions; these are those of 26. */
interface Ffi {
  dlopen(
    library: string | null,
    signatures: Readonly<Record<string, { readonly arguments: readonly string[]; readonly return: string }>>,
  ): { readonly functions: Readonly<Record<string, (...values: unknown[]) => unknown>> };
}

/** Calls of the C library that Node has no name for. All return -1 on failure; errno is not to be had. */
export interface Libc {
  getsockopt(fd: number, level: number, option: number, value: Buffer, length: Buffer): number;
  setsockopt(fd: number, level: number, option: number, value: Buffer, length: number): number;
  open(path: Buffer, flags: number): number;
  close(fd: number): number;
  setns(fd: number, kind: number): number;
  socket(domain: number, type: number, protocol: number): number;
  bind(fd: number, address: Buffer, length: number): number;
  listen(fd: number, backlog: number): number;
  connect(fd: number, address: Buffer, length: number): number;
  /** Who the next socket belongs to; of this thread alone. Answers the user of before. */
  setfsuid(uid: number): number;
  setfsgid(gid: number): number;
}

const SIGNATURES: Readonly<Record<keyof Libc | "getpid", readonly string[]>> = {
  getpid: [],
  getsockopt: ["int32", "int32", "int32", "buffer", "buffer"],
  setsockopt: ["int32", "int32", "int32", "buffer", "uint32"],
  open: ["buffer", "int32"],
  close: ["int32"],
  setns: ["int32", "int32"],
  socket: ["int32", "int32", "int32"],
  bind: ["int32", "buffer", "uint32"],
  listen: ["int32", "int32"],
  connect: ["int32", "buffer", "uint32"],
  setfsuid: ["uint32"],
  setfsgid: ["uint32"],
};

/** glibc, then musl. */
const LIBRARIES = ["libc.so.6", "libc.so"];

let loaded: Libc | undefined;

/**
 * The C library, tried out before it is trusted: a signature in a form that another version of Node wants is ignored by it
 * without a word.
 * @throws {BulwarkError} BW_NATIVE_CALLS_MISSING where this Node cannot call it (24, or `--no-experimental-ffi`).
 */
export function libc(): Libc {
  loaded ??= load();
  return loaded;
}

function load(): Libc {
  const ffi = process.getBuiltinModule("node:ffi") as Ffi | undefined;
  if (ffi === undefined) throw missing("this Node has no node:ffi; Node 26 has it");
  let why = "there is no C library";
  for (const library of LIBRARIES) {
    try {
      const { functions } = ffi.dlopen(library, signatures());
      if (isSound(functions as unknown as Libc & { getpid(): unknown })) return functions as unknown as Libc;
      why = "its answers are not what they should be";
    } catch (error) {
      why = error instanceof Error ? error.message : String(error);
    }
  }
  throw missing(why);
}

function signatures(): Record<string, { arguments: readonly string[]; return: string }> {
  return Object.fromEntries(
    Object.entries(SIGNATURES).map(([name, types]) => [name, { arguments: types, return: "int32" }]),
  );
}

function isSound(functions: Libc & { getpid(): unknown }): boolean {
  const noSuchFd = functions.getsockopt(-1, 0, 0, Buffer.alloc(16), Buffer.alloc(4));
  return functions.getpid() === process.pid && noSuchFd === -1;
}

function missing(why: string): BulwarkError {
  return new BulwarkError(
    "BW_NATIVE_CALLS_MISSING",
    `transparent capture needs calls of the C library, which cannot be made here: ${why}`,
  );
}
