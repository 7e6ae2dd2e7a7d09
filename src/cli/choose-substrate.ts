import { BulwarkError } from "../resources/bulwark-error.ts";
import type { SubstrateName } from "../substrate/substrate.ts";

/**
 * Where pods are to live, as asked for.
 * @param asked `auto`: network namespaces where this machine can; where not, that is said on standard error.
 * @throws {BulwarkError} BW_NETNS_UNAVAILABLE, with what is missing.
 */
export async function chooseSubstrate(asked: SubstrateName | "auto" = "loopback"): Promise<SubstrateName> {
  if (asked === "loopback") return asked;
  const { whyNoNetns } = await import("../substrate/netns/ability.ts");
  const missing = await whyNoNetns();
  if (missing === undefined) return "netns";
  if (asked === "netns")
    throw new BulwarkError("BW_NETNS_UNAVAILABLE", `--substrate netns cannot be had here: ${missing}`);
  process.stderr.write(`bulwark: pods are addresses of 127/8, no network namespaces: ${missing}\n`);
  return "loopback";
}
