import { BulwarkError } from "../resources/bulwark-error.ts";
import { SUBSTRATES, type SubstrateName } from "../substrate/substrate.ts";

const VARIABLE = "BULWARK_SUBSTRATE";

/**
 * Where pods are to live, as asked for: by option, else by $BULWARK_SUBSTRATE, else network namespaces where this machine can make them.
 * @param asked `auto`: as without, but where it cannot be, why not is said on standard error.
 * @throws {BulwarkError} BW_NETNS_UNAVAILABLE, with what is missing; BW_CLI_INPUT for a variable that is no substrate.
 */
export async function chooseSubstrate(
  asked: SubstrateName | "auto" | undefined = substrateOfEnvironment(),
): Promise<SubstrateName> {
  if (asked === "loopback") return asked;
  const { whyNoNetns } = await import("../substrate/netns/ability.ts");
  const missing = await whyNoNetns();
  if (missing === undefined) return "netns";
  if (asked === "netns")
    throw new BulwarkError("BW_NETNS_UNAVAILABLE", `--substrate netns cannot be had here: ${missing}`);
  if (asked === "auto")
    process.stderr.write(`bulwark: pods are addresses of 127/8, no network namespaces: ${missing}\n`);
  return "loopback";
}

function substrateOfEnvironment(): SubstrateName | "auto" | undefined {
  const value = process.env[VARIABLE] ?? "";
  if (value === "") return undefined;
  const known = [...SUBSTRATES, "auto"] as const;
  const found = known.find((name) => name === value);
  if (found === undefined)
    throw new BulwarkError("BW_CLI_INPUT", `$${VARIABLE} is \`${value}\`: ${known.join(", ")} are known`);
  return found;
}
