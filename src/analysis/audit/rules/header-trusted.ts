import type { AuditContext } from "../audit-context.ts";
import { callersOf } from "../facts/callers.ts";
import { type EnforcedRule, enforcedRules, probesIn } from "../facts/enforced-rules.ts";
import { exampleOf } from "../facts/probe-requests.ts";
import { accessRequestOf, arrivesAsHttp, isLetThrough } from "../facts/sample-requests.ts";
import type { ServerClass } from "../facts/server-classes.ts";
import type { Hit } from "../finding.ts";
import type { AuditRule } from "../rule.ts";

export const headerTrusted: AuditRule = {
  id: "BW0625",
  title: "Access by a header, which whoever asks writes",
  severity: "medium",
  attacks: ["M4", "E4"],
  what: "Rules of ALLOW policies with `when` on `request.headers[…]` that name no caller narrower than everybody of the mesh, and rules of DENY policies that spare requests with a header (`notValues`), where a request is let in with the header and refused without it. `high` where its presence is enough (`*`). Shown at sidecars, by that request. `:authority`, `:method` and `host` are other rules' matter.",
  why: "Nothing takes the header away from requests that bring it: the caller adds it and is in. That a gateway sets it does not help where the workload is reached past the gateway, and a gateway that only adds one lets through the caller's own.",
  fix: "Name the callers (`from: [{source: {principals: […]}}]`: the gateway's, if it is the gateway that checks), and have the gateway set the header (`headers.request.set`), which replaces the caller's; for users, verify a token (`requestPrincipals`).",
  claims: ["least-access"],
  check: trusted,
};

function* trusted(audit: AuditContext): Iterable<Hit> {
  const { trustDomain, trustDomainAliases } = audit.mesh.config;
  for (const rule of audit.fact(enforcedRules)) {
    const when = rule.spec.when ?? [];
    const others = { ...rule.spec, when: when.filter(({ key }) => nameIn(key) === undefined) };
    const isOpen = callersOf(others, [trustDomain, ...trustDomainAliases]) !== "some";
    if (rule.action === "ALLOW" ? !isOpen : rule.action !== "DENY") continue;
    const hit = firstHeader(audit, rule);
    if (hit !== undefined) yield hit;
  }
}

function firstHeader(audit: AuditContext, rule: EnforcedRule): Hit | undefined {
  const field = rule.action === "ALLOW" ? "values" : "notValues";
  for (const [at, condition] of (rule.spec.when ?? []).entries()) {
    const name = nameIn(condition.key);
    const value = condition[field]?.at(0);
    if (name === undefined || value === undefined) continue;
    const header = { name, value: exampleOf(value, "x") };
    const witness = witnessOf(audit, rule, header);
    if (witness === undefined) continue;
    return {
      resource: rule.policy,
      path: ["spec", "rules", rule.index, "when", at],
      title: `\`${name}: ${header.value}\` lets in whoever sends it`,
      witness,
      ...(condition[field]?.includes("*") === true ? { severity: "high" } : {}),
    };
  }
  return undefined;
}

interface Header {
  readonly name: string;
  readonly value: string;
}

/** A request that the header alone lets in. */
function witnessOf(audit: AuditContext, rule: EnforcedRule, { name, value }: Header): Hit["witness"] {
  for (const server of rule.classes) {
    if (!server.isSidecar) continue;
    for (const probe of probesIn(audit, server, rule)) {
      const without = { ...probe, headers: withoutHeader(probe.headers, name) };
      const withIt = { ...without, headers: [...without.headers, name, value] };
      if (isDecidedBy(server, without, withIt)) return accessRequestOf(withIt, server);
    }
  }
  return undefined;
}

type Sample = Parameters<typeof isLetThrough>[1];

function isDecidedBy(server: ServerClass, without: Sample, withIt: Sample): boolean {
  return arrivesAsHttp(server, withIt) && isLetThrough(server, withIt) && !isLetThrough(server, without);
}

function withoutHeader(headers: readonly string[], name: string): readonly string[] {
  return headers.filter((_, at) => headers[at - (at % 2)]?.toLowerCase() !== name);
}

function nameIn(key: string): string | undefined {
  const name = /^request\.headers\[([^\]]+)\]$/.exec(key)?.[1]?.toLowerCase();
  return name === undefined || name.startsWith(":") || name === "host" ? undefined : name;
}
