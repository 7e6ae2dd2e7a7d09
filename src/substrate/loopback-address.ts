import { createHash } from "node:crypto";
import { BulwarkError } from "../resources/bulwark-error.ts";
import { probeListen } from "./socket-probe.ts";

const MAX_PROBES = 64;

/**
 * An address in 127/8 for a name: the same name gets the same address wherever it is free.
 * 127.0/16 to 127.15/16 are left to others (127.0.0.1, 127.0.0.53, 127.0.1.1).
 * @param attempt 0 for the first choice, higher ones after clashes.
 */
export function deriveLoopbackAddress(name: string, attempt: number): string {
  const digest = createHash("sha256").update(`${name}\0${attempt}`).digest();
  const [a = 0, b = 0, c = 0] = digest;
  return `127.${16 + (a % 224)}.${b}.${1 + (c % 254)}`;
}

/**
 * The first derived address that nobody of this mesh has and whose ports are free on this machine.
 * @throws {BulwarkError} BW_SUBSTRATE_NO_ADDRESS
 */
export async function findLoopbackAddress(
  name: string,
  taken: ReadonlySet<string>,
  ports: readonly number[],
): Promise<string> {
  let why = "";
  for (let attempt = 0; attempt < MAX_PROBES; attempt++) {
    const address = deriveLoopbackAddress(name, attempt);
    if (taken.has(address)) continue;
    const busy = await firstBusyPort(address, ports);
    if (busy === undefined) return address;
    why = busy;
    if (why.startsWith("EADDRNOTAVAIL")) break;
  }
  const hint = why.startsWith("EADDRNOTAVAIL")
    ? "this system answers only on 127.0.0.1; the loopback substrate needs all of 127/8, as Linux has it"
    : "no address of 127/8 had all its ports free";
  throw new BulwarkError("BW_SUBSTRATE_NO_ADDRESS", `no loopback address: ${hint} (${why})`, {
    detail: { name },
  });
}

/** The first of the ports that cannot be bound there, with the reason; undefined when all can. */
export async function firstBusyPort(address: string, ports: readonly number[]): Promise<string | undefined> {
  for (const port of new Set(ports)) {
    const outcome = await probeListen(address, port);
    if (outcome !== "free") return `${outcome} on port ${port}`;
  }
  return undefined;
}
