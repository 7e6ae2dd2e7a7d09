/** What kind of place an address is, as the fetching of keys sees it: whoever writes a policy chooses where it goes. */
import { type CidrBlock, cidrContains, type IpAddress, parseCidrBlock } from "../../policy/ip-address.ts";

/**
 * `forbidden`: nothing that could be an issuer is there (link-local, cloud metadata, multicast, reserved, and addresses that stand
 * for others by translation). `loopback`: this machine itself. `private`: an organisation's or a cluster's own network.
 */
export type AddressClass = "public" | "private" | "loopback" | "forbidden";

const blocks = (...texts: readonly string[]): readonly CidrBlock[] =>
  texts.map((text) => parseCidrBlock(text) ?? fail(text));

function fail(text: string): never {
  throw new Error(`BUG: ${text} is no block`);
}

/**
 * Link-local and special-purpose blocks (RFC 6890), and the metadata services that lie outside of them: AWS (fd00:ec2::254),
 * Google (fd20:ce::254), Alibaba (100.100.100.200), Oracle (192.0.0.192), Azure's platform (168.63.129.16).
 */
const FORBIDDEN = blocks(
  "0.0.0.0/8",
  "100.100.100.200",
  "168.63.129.16",
  "169.254.0.0/16",
  "192.0.0.0/24",
  "192.0.2.0/24",
  "192.88.99.0/24",
  "198.18.0.0/15",
  "198.51.100.0/24",
  "203.0.113.0/24",
  "224.0.0.0/3",
  "::/96",
  "64:ff9b::/96",
  "64:ff9b:1::/48",
  "100::/64",
  "2001::/23",
  "2001:db8::/32",
  "2002::/16",
  "fd00:ec2::254",
  "fd20:ce::254",
  "fe80::/10",
  "fec0::/10",
  "ff00::/8",
);
const LOOPBACK = blocks("127.0.0.0/8", "::1");
const PRIVATE = blocks("10.0.0.0/8", "100.64.0.0/10", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7");

export function classOf(address: IpAddress): AddressClass {
  const isIn = (list: readonly CidrBlock[]) => list.some((block) => cidrContains(block, address));
  if (isIn(LOOPBACK)) return "loopback";
  if (isIn(FORBIDDEN)) return "forbidden";
  return isIn(PRIVATE) ? "private" : "public";
}
