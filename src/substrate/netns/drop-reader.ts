import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { ATTEMPT_SETS, type AttemptSet, type DropReason, FABRIC_TABLE } from "./fabric-rules.ts";

/** One attempt: all packets of the same addresses and ports. */
export interface DroppedAttempt {
  readonly reason: DropReason;
  /** By which it came, where the source address is not the one behind that link. */
  readonly link?: string;
  readonly sourceIp: string;
  readonly destinationIp: string;
  /** `tcp`, `udp`, `icmp`, or a number. */
  readonly protocol: string;
  /** Absent where the protocol has none. */
  readonly sourcePort?: number;
  readonly destinationPort?: number;
  readonly packets: number;
}

export interface FabricReading {
  readonly attempts: readonly DroppedAttempt[];
  /** Packets, by the name of the counter. */
  readonly counters: Readonly<Record<string, number>>;
}

const run = promisify(execFile);
const MAX_OUTPUT_BYTES = 64 * 1024 * 1024;
const TIMEOUT_MS = 20_000;

/** What the firewall has dropped and counted, in the namespace of this process. Rejects when nft does. */
export async function readFabric(): Promise<FabricReading> {
  const [family = "", table = ""] = FABRIC_TABLE.split(" ");
  const { stdout } = await run("nft", ["-j", "list", "table", family, table], {
    maxBuffer: MAX_OUTPUT_BYTES,
    timeout: TIMEOUT_MS,
  });
  return parseFabric(stdout);
}

interface NftListing {
  readonly nftables?: readonly {
    readonly set?: { readonly name?: string; readonly elem?: readonly unknown[] };
    readonly counter?: { readonly name?: string; readonly packets?: number };
  }[];
}

/** @see libnftables-json(5) */
export function parseFabric(json: string): FabricReading {
  const { nftables = [] } = JSON.parse(json) as NftListing;
  const attempts: DroppedAttempt[] = [];
  const counters: Record<string, number> = {};
  for (const { set, counter } of nftables) {
    if (counter?.name !== undefined) counters[counter.name] = counter.packets ?? 0;
    const known = SET_BY_NAME.get(set?.name ?? "");
    if (known !== undefined)
      for (const element of set?.elem ?? []) attempts.push(...readElement(known, element));
  }
  return { attempts, counters };
}

const SET_BY_NAME = new Map(ATTEMPT_SETS.map((set) => [set.name, set]));

interface NftElement {
  readonly elem?: {
    readonly val?: { readonly concat?: readonly unknown[] };
    readonly counter?: { readonly packets?: number };
  };
}

function readElement({ reason, fields }: AttemptSet, element: unknown): DroppedAttempt[] {
  const { elem } = element as NftElement;
  const values = elem?.val?.concat ?? [];
  if (values.length !== fields.length) return [];
  const of = Object.fromEntries(fields.map((field, i) => [field, values[i]]));
  return [
    {
      reason,
      ...(of.link === undefined ? {} : { link: String(of.link) }),
      sourceIp: String(of.source),
      destinationIp: String(of.destination),
      protocol: String(of.protocol),
      ...(of.sourcePort === undefined
        ? {}
        : { sourcePort: Number(of.sourcePort), destinationPort: Number(of.destinationPort) }),
      packets: elem?.counter?.packets ?? 0,
    },
  ];
}
