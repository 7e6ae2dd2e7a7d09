import type { AuditContext } from "../audit-context.ts";
import { type EnforcedRule, enforcedRules, probesIn } from "../facts/enforced-rules.ts";
import { exampleOf } from "../facts/probe-requests.ts";
import { accessRequestOf, arrivesAsHttp, isLetThrough } from "../facts/sample-requests.ts";
import type { Edit, Hit } from "../finding.ts";
import type { AuditRule } from "../rule.ts";

export const hostPort: AuditRule = {
  id: "BW0619",
  title: "A host that is denied, but not with a port behind it",
  severity: "medium",
  attacks: ["M4", "M6"],
  what:
    "Rules of DENY policies with `hosts`, and of ALLOW policies with `notHosts`, where a request with that Host is refused and the same request is let in with a port behind the host, or a dot at its end: " +
    "the text of the header is compared, whole. Shown at sidecars.",
  why: "The Host header is the caller's to write. `Host: admin.example.com:8080` reaches the same application and is not what the rule names.",
  fix: "Name the host with any port, too, and with a dot at its end (`admin.example.com`, `admin.example.com:*`, `admin.example.com.`, `admin.example.com.:*`); better, say by ALLOW which hosts are served. `--fix` names them where all hosts of the rule are written out.",
  claims: ["policies-hold"],
  check: ports,
};

function* ports(audit: AuditContext): Iterable<Hit> {
  for (const rule of audit.fact(enforcedRules)) {
    const field = rule.action === "DENY" ? "hosts" : rule.action === "ALLOW" ? "notHosts" : null;
    if (field === null) continue;
    const hit = firstHost(audit, rule, field);
    if (hit !== undefined) yield hit;
  }
}

function firstHost(audit: AuditContext, rule: EnforcedRule, field: "hosts" | "notHosts"): Hit | undefined {
  for (const [entry, { operation = {} }] of (rule.spec.to ?? []).entries())
    for (const [at, value] of (operation[field] ?? []).entries()) {
      if (value === "*") continue;
      const found = hostIn(audit, rule, exampleOf(value, "x").toLowerCase());
      if (found === undefined) continue;
      return {
        resource: rule.policy,
        path: ["spec", "rules", rule.index, "to", entry, "operation", field, at],
        title: `\`Host: ${exampleOf(value, "x")}\` is refused, \`Host: ${found.host}\` let in`,
        witness: found,
        edits: spelledOut(rule, field),
      };
    }
  return undefined;
}

/** A pattern has no form with a port behind it: then somebody has to choose. */
function spelledOut({ policy, index, spec }: EnforcedRule, field: "hosts" | "notHosts"): readonly Edit[] {
  const lists = (spec.to ?? []).map(({ operation = {} }) => operation[field] ?? []);
  if (lists.flat().some((host) => /[*:]|\.$/.test(host))) return [];
  return lists.flatMap((hosts, entry) =>
    hosts.length === 0
      ? []
      : [
          {
            edit: "set",
            resource: policy,
            path: ["spec", "rules", index, "to", entry, "operation", field],
            value: hosts.flatMap((host) => [host, `${host}:*`, `${host}.`, `${host}.:*`]),
          },
        ],
  );
}

function hostIn(audit: AuditContext, rule: EnforcedRule, host: string): Hit["witness"] {
  for (const server of rule.classes) {
    if (!server.isSidecar) continue;
    for (const probe of probesIn(audit, server, rule)) {
      const own = { ...probe, host };
      if (!arrivesAsHttp(server, own) || isLetThrough(server, own)) continue;
      for (const other of othersOf(host, own.port)) {
        const varied = { ...own, host: other };
        if (isLetThrough(server, varied)) return accessRequestOf(varied, server);
      }
    }
  }
  return undefined;
}

function othersOf(host: string, port: number): readonly string[] {
  const bare = host.replace(/:\d*$/, "");
  return bare === host
    ? [`${host}:${port}`, ...(host.endsWith(".") ? [] : [`${host}.`])]
    : [bare, `${bare}:${port}`].filter((other) => other !== host);
}
