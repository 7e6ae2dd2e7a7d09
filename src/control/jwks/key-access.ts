/** Which places keys may be fetched from. Whoever may write a RequestAuthentication chooses a URL that the control plane asks. */
import { type CidrBlock, cidrContains, parseCidrBlock, parseIpAddress } from "../../policy/ip-address.ts";
import { BulwarkError } from "../../resources/bulwark-error.ts";
import { classOf } from "./address-class.ts";

/** What the operator allows beyond the default (`up --jwks-allow`). */
export interface KeyAccess {
  readonly blocks: readonly CidrBlock[];
  /** Lower case. */
  readonly hosts: ReadonlySet<string>;
}

/** Where a host of a URL is. */
export interface Located {
  /** `mesh`: a Service of the mesh; `stand-in`: what plays an outside host; `outside`: as an address or by DNS. */
  readonly place: "mesh" | "stand-in" | "outside";
  /** At least one. */
  readonly addresses: readonly string[];
  /** Of the socket. */
  readonly port: number;
}

const HOST = /^[a-z0-9]([a-z0-9._-]*[a-z0-9])?$/;

/**
 * @param entries addresses, blocks (`10.1.0.0/16`) and host names.
 * @throws {BulwarkError} BW_CLI_INPUT
 */
export function parseKeyAccess(entries: readonly string[]): KeyAccess {
  const blocks: CidrBlock[] = [];
  const hosts = new Set<string>();
  for (const entry of entries) {
    const block = parseCidrBlock(entry);
    const host = entry.toLowerCase();
    if (block !== undefined) blocks.push(block);
    else if (HOST.test(host) && !/^[0-9./]+$/.test(host)) hosts.add(host);
    else
      throw new BulwarkError(
        "BW_CLI_INPUT",
        `\`--jwks-allow ${entry}\`: write a host name, an address or a block as in 10.1.0.0/16`,
      );
  }
  return { blocks, hosts };
}

/**
 * Holds a URL, and the addresses that are to be dialled for it, to the rules:
 * the name of a host that a policy gives may be in a private network, since issuers inside of a cluster are; where a server
 * points to (a redirect, the `jwks_uri` of a discovery document) may not, unless it is the same server, since then it would be
 * an outsider who chooses an address inside. Link-local, metadata and loopback addresses are refused in any case, and clear
 * text everywhere but where it does not leave this machine.
 * @param from the URL that pointed here; undefined for one that a policy gives.
 * @throws {BulwarkError} BW_JWKS_FORBIDDEN
 */
export function checkAccess(access: KeyAccess, url: URL, located: Located, from: URL | undefined): void {
  const namedByOperator = access.hosts.has(url.hostname);
  const placedByMesh = located.place !== "outside";
  const own = from === undefined || from.origin === url.origin || namedByOperator;
  let cleartext = namedByOperator || placedByMesh;
  if (placedByMesh && !own) refuse(url, "a server outside pointed to a host of the mesh");
  if (!placedByMesh) {
    const addresses = located.addresses.map((text) => ({ text, address: parseIpAddress(text) }));
    const isAllowed = ({ address }: (typeof addresses)[number]) =>
      address !== undefined && access.blocks.some((block) => cidrContains(block, address));
    for (const entry of addresses.filter((each) => !isAllowed(each))) {
      const kind = entry.address === undefined ? "forbidden" : classOf(entry.address);
      if (kind === "forbidden" || kind === "loopback")
        refuse(url, `it is at ${entry.text}, where keys are not fetched`);
      if (kind === "private" && !own) refuse(url, `another server pointed to it, and it is at ${entry.text}`);
    }
    cleartext ||= addresses.every(isAllowed);
  }
  if (url.protocol !== "https:" && !cleartext) refuse(url, "keys that come in clear text can be anybody's");
}

function refuse(url: URL, why: string): never {
  throw new BulwarkError("BW_JWKS_FORBIDDEN", `\`${url.host}\` is not asked: ${why}`);
}
