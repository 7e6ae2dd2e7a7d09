import type { AuditContext } from "../audit-context.ts";
import { type AddressOwner, addressOwners } from "../facts/address-owners.ts";
import { isInNode } from "../facts/special-addresses.ts";
import { fieldsOf, textsOf } from "../facts/written.ts";
import type { Hit } from "../finding.ts";
import type { AuditRule } from "../rule.ts";

export const externalAddresses: AuditRule = {
  id: "BW0837",
  title: "A Service that takes addresses outside for its own",
  severity: "low",
  attacks: ["M11"],
  what: "`externalIPs` of a Service that are no addresses of a Node among the files; `high` where the address is a node's own or a cloud's metadata service (loopback, link-local), or one that the files have for another namespace's Service, ServiceEntry or pod.",
  why: "Every node leads what is sent to that address to this Service's pods, whoever owns it, and below the mesh: who may write a Service in any namespace reads what others' clients send there (CVE-2020-8554, which no version of Kubernetes mends).",
  fix: "Use a load balancer or a gateway, and have the API server refuse the field: admission plugin `DenyServiceExternalIPs`.",
  claims: ["surface-named"],
  check: taking,
};

function* taking(audit: AuditContext): Iterable<Hit> {
  for (const resource of audit.every("", "Service")) {
    const addresses = textsOf(fieldsOf(resource.spec).externalIPs);
    if (addresses.length === 0) continue;
    const owners = audit.fact(addressOwners);
    for (const [index, address] of addresses.entries()) {
      const all = owners.get(address) ?? [];
      if (all.some(({ kind }) => kind === "Node")) continue;
      const other = all.find((owner) => isAnothers(owner, resource.namespace));
      const whose = isInNode(address)
        ? "an address of every node's own"
        : other === undefined
          ? undefined
          : `an address of ${other.kind} \`${other.namespace}/${other.name}\``;
      yield {
        resource,
        path: ["spec", "externalIPs", index],
        ...(whose === undefined ? {} : { severity: "high" as const }),
        title: `it takes what is sent to ${address}${whose === undefined ? "" : `, ${whose}`}`,
      };
    }
  }
}

function isAnothers({ namespace }: AddressOwner, own: string): boolean {
  return namespace !== own;
}
