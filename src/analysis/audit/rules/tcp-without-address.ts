import type { AuditContext } from "../audit-context.ts";
import { fieldsOf, itemsOf, textOf } from "../facts/written.ts";
import type { Hit } from "../finding.ts";
import type { AuditRule } from "../rule.ts";

export const tcpWithoutAddress: AuditRule = {
  id: "BW0134",
  title: "A ServiceEntry for TCP without an address to know it by",
  severity: "medium",
  same: { istio: "IST0134" },
  attacks: ["E6"],
  what: "A ServiceEntry with a port of protocol TCP, or none, and without `addresses`, where the mesh does not give it addresses of its own (DNS capture with automatic allocation).",
  why: "TCP has no host: the proxy takes everything to that port, wherever it goes, for this host, so that its policies and its routes are those of all others, too.",
  fix: "Give `addresses`, name the protocol (TLS, HTTPS) where it is one that names its host, or let the mesh allocate addresses.",
  claims: ["egress-held"],
  check: unaddressed,
};

function* unaddressed(audit: AuditContext): Iterable<Hit> {
  if (isAllocating(audit)) return;
  for (const resource of audit.every("networking.istio.io", "ServiceEntry")) {
    const { addresses, ports } = fieldsOf(resource.spec);
    if (addresses !== undefined || fieldsOf(resource.body.status).addresses !== undefined) continue;
    for (const [index, { protocol, number }] of itemsOf(ports))
      if (["", "TCP"].includes(textOf(protocol).toUpperCase()))
        yield {
          resource,
          path: ["spec", "ports", index],
          title: `port ${String(number)} is TCP, and no address tells its traffic from other`,
        };
  }
}

function isAllocating(audit: AuditContext): boolean {
  const metadata = fieldsOf(fieldsOf(fieldsOf(audit.mesh.config.raw).defaultConfig).proxyMetadata);
  const isOn = (name: string): boolean => metadata[name] === "true" || metadata[name] === true;
  return (
    isOn("ISTIO_META_DNS_CAPTURE") &&
    (isOn("ISTIO_META_DNS_AUTO_ALLOCATE") || isOn("PILOT_ENABLE_IP_AUTOALLOCATE"))
  );
}
