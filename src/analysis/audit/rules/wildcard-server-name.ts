import type { ServiceEntrySpec } from "../../../model/mesh.ts";
import type { Resource } from "../../../resources/resource.ts";
import type { AuditContext } from "../audit-context.ts";
import type { Hit } from "../finding.ts";
import type { AuditRule } from "../rule.ts";

export const wildcardServerName: AuditRule = {
  id: "BW0957",
  title: "A ServiceEntry that takes the client's word for where it goes",
  severity: "medium",
  attacks: ["E6", "E1"],
  what: "ServiceEntries outside of the mesh with a wildcard host and a port with protocol TLS or HTTPS, of resolution NONE (sent on to whatever address was dialled) or DYNAMIC_DNS (the name that the client wrote is looked up): the server name of the client's own TLS is all that is compared.",
  why: "Under NONE the client dials any address outside and writes a name that fits; under both it picks any host below the wildcard, among them those that others can register, and asks for something else inside.",
  fix: "Name the hosts, with resolution DNS. Where it must be a wildcard, send it over an egress gateway that looks inside, with a firewall behind it that knows the addresses.",
  claims: ["egress-held"],
  check: wildcards,
};

interface EntryFields {
  readonly hosts?: readonly string[];
  readonly location?: string;
  readonly resolution?: string;
  readonly ports?: readonly { readonly number?: number; readonly protocol?: string }[];
}

function* wildcards({ mesh }: AuditContext): Iterable<Hit> {
  for (const resource of mesh.serviceEntries) {
    const { hosts = [], location = "MESH_EXTERNAL", resolution = "NONE", ports = [] } = fieldsOf(resource);
    if (location !== "MESH_EXTERNAL" || (resolution !== "NONE" && resolution !== "DYNAMIC_DNS")) continue;
    const port = ports.find(({ protocol = "" }) => /^(tls|https)$/i.test(protocol));
    if (port === undefined) continue;
    for (const [at, host] of hosts.entries())
      if (host.startsWith("*"))
        yield {
          resource,
          path: ["spec", "hosts", at],
          title:
            resolution === "NONE"
              ? `any address outside passes for \`${host}\` at port ${port.number}, if the client writes such a name`
              : `any name under \`${host}\` that the client writes is looked up and dialled at port ${port.number}`,
        };
  }
}

function fieldsOf({ spec }: Resource<ServiceEntrySpec>): EntryFields {
  return spec as EntryFields;
}
