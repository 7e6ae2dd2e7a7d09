/** Every change of the disk that a piece of work makes, one after the other, as the one at which its process is killed or the disk is full. */
import fs from "node:fs";
import { syncBuiltinESMExports } from "node:module";
import type { TestContext } from "node:test";

/** Everything by which files change. */
const CHANGES = [
  "openSync",
  "writeFileSync",
  "appendFileSync",
  "renameSync",
  "linkSync",
  "rmSync",
  "mkdirSync",
] as const;

/**
 * - `killed`: nothing happens from that change on.
 * - `torn`: half of what that change writes is there, and nothing happens after it.
 * - `full`: that change, and every one after it that needs room, says ENOSPC; what it wrote is cut off.
 */
export type Fault = "killed" | "torn" | "full";
export const FAULTS: readonly Fault[] = ["killed", "torn", "full"];

class Killed extends Error {}

type Change = (...args: unknown[]) => unknown;

/**
 * Runs work with a fault at its change number `at`, from 0.
 * @returns whether the fault was met, and what the work said of it: undefined where it went on, or was killed.
 */
export async function withFault(
  t: TestContext,
  fault: Fault,
  at: number,
  work: () => Promise<void>,
): Promise<{ readonly met: boolean; readonly error: unknown }> {
  let count = 0;
  const faulty = (name: (typeof CHANGES)[number], original: Change): Change =>
    function change(...args) {
      // Reading changes nothing.
      if (name === "openSync" && (args[1] === undefined || args[1] === "r")) return original(...args);
      const number = count++;
      if (number < at) return original(...args);
      if (fault === "full" && (name === "rmSync" || name === "renameSync")) return original(...args);
      if (number === at || fault === "full") writeHalf(name, args, original, fault);
      if (fault !== "full") throw new Killed();
      throw Object.assign(new Error("ENOSPC: no space left on device"), { code: "ENOSPC", syscall: "write" });
    };
  const mocks = CHANGES.map((name) => {
    const original = fs[name] as Change;
    return t.mock.method(fs, name, faulty(name, original));
  });
  syncBuiltinESMExports();
  try {
    await work();
    return { met: count > at, error: undefined };
  } catch (error) {
    // Whatever a dead process says of it, nobody hears.
    return { met: count > at, error: count > at && fault !== "full" ? undefined : error };
  } finally {
    for (const { mock } of mocks) mock.restore();
    syncBuiltinESMExports();
  }
}

function writeHalf(name: string, args: readonly unknown[], original: Change, fault: Fault): void {
  if (fault === "killed" || (name !== "writeFileSync" && name !== "appendFileSync")) return;
  const [file, data, ...rest] = args;
  const bytes = Buffer.from(data as string | Buffer);
  original(file, bytes.subarray(0, bytes.length >> 1), ...rest);
}
