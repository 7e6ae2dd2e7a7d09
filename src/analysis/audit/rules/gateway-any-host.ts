import type { AuditContext } from "../audit-context.ts";
import { fieldsOf, itemsOf, textOf, textsOf } from "../facts/written.ts";
import type { Hit } from "../finding.ts";
import type { AuditRule } from "../rule.ts";

export const gatewayAnyHost: AuditRule = {
  id: "BW0404",
  title: "A Gateway that serves whatever host is asked for",
  severity: "medium",
  same: { snowcat: "Overly Broad Gateway Hosts" },
  attacks: ["M11"],
  what: "A server of a Gateway with the host `*`, with or without a namespace before it (`*/*`, `./*`, `shop/*`). `low` where the namespace is named, so that only its VirtualServices are taken; `info` for a server that does nothing but redirect to HTTPS.",
  why: "Every VirtualService that may bind to the Gateway chooses the hosts that it serves there: another team's takes over a name, or brings an internal one out. Requests by address, or with a Host header of the caller's choice, are served, too.",
  fix: "Name the hosts, with the namespace whose VirtualServices are to serve them: `shop/shop.example.com`.",
  claims: ["surface-named"],
  check: anyHosts,
};

function* anyHosts(audit: AuditContext): Iterable<Hit> {
  for (const resource of audit.every("networking.istio.io", "Gateway"))
    for (const [server, { hosts, tls, port }] of itemsOf(fieldsOf(resource.spec).servers))
      for (const [index, host] of textsOf(hosts).entries()) {
        const slash = host.indexOf("/");
        if (host.slice(slash + 1) !== "*") continue;
        const scope = slash < 0 ? "*" : host.slice(0, slash);
        const isRedirect = fieldsOf(tls).httpsRedirect === true;
        const severity = isRedirect ? "info" : scope === "*" ? "medium" : "low";
        yield {
          resource,
          path: ["spec", "servers", server, "hosts", index],
          severity,
          title: `\`${host}\` at port ${String(fieldsOf(port).number ?? textOf(fieldsOf(port).name))}: VirtualServices of ${scopeText(scope, resource.namespace)} serve any host here`,
        };
      }
}

function scopeText(scope: string, own: string): string {
  if (scope === "*") return "every namespace";
  return `\`${scope === "." ? own : scope}\``;
}
