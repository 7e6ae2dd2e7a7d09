import { Resolver } from "node:dns/promises";
import { isIP } from "node:net";
import { CLUSTER_DOMAIN } from "../../policy/outbound/host-name.ts";
import type { PodAssignment } from "../../substrate/assignment.ts";
import { CLUSTER_DNS } from "../../substrate/netns/addresses.ts";
import { insideNamespace } from "../../substrate/netns/inside-namespace.ts";

/** As the pods' resolv.conf says. */
const NDOTS = 5;
const TIMEOUT_MS = 2000;

/**
 * An address of a host, as an application in the pod finds it: asked from the pod's own network, so whoever answers its DNS is asked. Needs root.
 * @throws the resolver's error (`ENOTFOUND`, `ETIMEOUT`) where the name has none.
 */
export async function resolveInPod({ namespace, network }: PodAssignment, host: string): Promise<string> {
  if (isIP(host) !== 0 || network === undefined) return host;
  // One try: another would be sent later, from a socket that is made when this process is outside again, to whomever has that address there.
  const resolver = new Resolver({ timeout: TIMEOUT_MS, tries: 1 });
  resolver.setServers([CLUSTER_DNS.address]);
  let failure: unknown;
  for (const name of searched(host, namespace)) {
    try {
      // The socket is made as the question is sent, which is at once.
      const [address] = await insideNamespace(network.namespace, () => resolver.resolve4(name));
      if (address !== undefined) return address;
    } catch (error) {
      failure = error;
    }
  }
  throw failure;
}

function searched(host: string, namespace: string): readonly string[] {
  if (host.endsWith(".")) return [host];
  const search = [`${namespace}.svc.${CLUSTER_DOMAIN}`, `svc.${CLUSTER_DOMAIN}`, CLUSTER_DOMAIN];
  const listed = search.map((suffix) => `${host}.${suffix}`);
  return host.split(".").length - 1 >= NDOTS ? [host, ...listed] : [...listed, host];
}
