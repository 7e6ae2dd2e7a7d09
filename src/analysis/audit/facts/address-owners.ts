/** Whose an address is, as far as the files say. */
import type { AuditContext } from "../audit-context.ts";
import { fieldsOf, itemsOf, textOf, textsOf } from "./written.ts";

export interface AddressOwner {
  readonly kind: string;
  readonly namespace: string;
  readonly name: string;
}

/** By address. Blocks of addresses are left out, and so are Services' `externalIPs`: these are claims, not addresses of their own. */
export function addressOwners(audit: AuditContext): ReadonlyMap<string, readonly AddressOwner[]> {
  const owned = [
    ...audit.every("", "Service").map((resource) => {
      const { clusterIP, clusterIPs, loadBalancerIP } = fieldsOf(resource.spec);
      const { ingress } = fieldsOf(fieldsOf(resource.body.status).loadBalancer);
      const given = [...itemsOf(ingress)].map(([, { ip }]) => textOf(ip));
      return {
        resource,
        addresses: [textOf(clusterIP), ...textsOf(clusterIPs), textOf(loadBalancerIP), ...given],
      };
    }),
    ...audit.every("networking.istio.io", "ServiceEntry").map((resource) => {
      const { addresses, endpoints } = fieldsOf(resource.spec);
      const ends = [...itemsOf(endpoints)].map(([, { address }]) => textOf(address));
      return { resource, addresses: [...textsOf(addresses), ...ends] };
    }),
    ...audit.every("", "Pod").map((resource) => {
      const { podIP, podIPs } = fieldsOf(resource.body.status);
      return {
        resource,
        addresses: [textOf(podIP), ...[...itemsOf(podIPs)].map(([, { ip }]) => textOf(ip))],
      };
    }),
    ...audit.every("", "Node").map((resource) => {
      const { addresses } = fieldsOf(resource.body.status);
      return { resource, addresses: [...itemsOf(addresses)].map(([, { address }]) => textOf(address)) };
    }),
  ];
  const owners = new Map<string, AddressOwner[]>();
  for (const { resource, addresses } of owned)
    for (const address of new Set(addresses)) {
      if (!/^[0-9a-f:.]+$/i.test(address)) continue;
      const { kind, namespace, name } = resource;
      const known = owners.get(address);
      if (known === undefined) owners.set(address, [{ kind, namespace, name }]);
      else known.push({ kind, namespace, name });
    }
  return owners;
}
