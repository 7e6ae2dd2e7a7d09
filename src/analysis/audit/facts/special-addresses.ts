/** Addresses and names that mean the asker's own node or cloud, and nobody else's. */

const LOCAL = /^(127\.\d+\.\d+\.\d+|0\.0\.0\.0|::1|::)$/;
const LINK_LOCAL = /^(169\.254\.\d+\.\d+|fe[89ab][0-9a-f]:.*)$/i;

/**
 * Where clouds answer machines with what they are, and with their credentials: AWS (IMDS, ECS, EKS), Azure, Google, DigitalOcean, OpenStack
 * and Oracle at link-local addresses, Alibaba in shared address space, AWS by IPv6.
 */
const METADATA =
  /^(169\.254\.(169\.254|170\.2|170\.23)|100\.100\.100\.200|192\.0\.0\.192|fd00:ec2::(254|23)|fd20:ce::254)$/i;
const METADATA_NAMES = new Set([
  "metadata",
  "metadata.google.internal",
  "metadata.goog",
  "instance-data",
  "instance-data.ec2.internal",
  "metadata.tencentyun.com",
  "metadata.platformequinix.com",
]);

/** Services that answer any name with the address that stands in it. */
const ADDRESS_IN_NAME = /(?:^|[.-])(\d+)[.-](\d+)[.-](\d+)[.-](\d+)\.(?:nip\.io|sslip\.io|xip\.io)$/;

/** Loopback, unspecified and link-local: on a node it is the node's own. */
export function isInNode(address: string): boolean {
  return LOCAL.test(address) || LINK_LOCAL.test(address);
}

/** @param host a name, with or without its trailing dot, or an address */
export function isMetadata(host: string): boolean {
  const name = plainName(host);
  return METADATA_NAMES.has(name) || METADATA.test(addressIn(name));
}

/** @param host as of {@link isMetadata} */
export function isLoopback(host: string): boolean {
  const name = plainName(host);
  return /^(localhost|localhost\.localdomain|.*\.localhost)$/.test(name) || LOCAL.test(addressIn(name));
}

function plainName(host: string): string {
  return host.toLowerCase().replace(/\.$/, "");
}

function addressIn(name: string): string {
  const written = ADDRESS_IN_NAME.exec(name);
  return written === null
    ? name.replace(/^\[(.*)\]$/, "$1").replace(/\/(32|128)$/, "")
    : written.slice(1).join(".");
}
