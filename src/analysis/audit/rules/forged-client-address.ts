import type { AuditContext } from "../audit-context.ts";
import { compiledIn, type EnforcedRule, enforcedRules, probesIn } from "../facts/enforced-rules.ts";
import { accessRequestOf, isLetThrough, isMatched } from "../facts/sample-requests.ts";
import type { Hit } from "../finding.ts";
import type { AuditRule } from "../rule.ts";

export const forgedClientAddress: AuditRule = {
  id: "BW0961",
  title: "Client addresses at a sidecar, which the caller writes itself",
  severity: "high",
  attacks: ["M4"],
  what:
    "Rules with `remoteIpBlocks`, `remote.ip` or their negations at workloads behind sidecars, where a request that the rule is to keep out gets in with another X-Forwarded-For: a sidecar takes the last address of that header for the client's, whoever wrote it. " +
    "In ALLOW rules, where the same rule asks for no `principals` or `namespaces` (such as the gateway's, which sets the header itself); in DENY rules always. Shown by that request. Gateways are not looked at: they count trusted proxies.",
  why: "Whoever reaches the workload past the gateway, from any pod, puts `X-Forwarded-For: 10.0.0.1` into the request and is the client that it likes to be.",
  fix: "Check client addresses at the gateway, and here let in the gateway's identity alone; `ipBlocks` is the address of the connection itself.",
  claims: ["policies-hold"],
  check: forged,
};

function* forged(audit: AuditContext): Iterable<Hit> {
  for (const rule of audit.fact(enforcedRules)) {
    if ((rule.action !== "ALLOW" && rule.action !== "DENY") || !asksForClient(rule)) continue;
    if (rule.action === "ALLOW" && isBound(rule)) continue;
    const witness = passing(audit, rule);
    if (witness !== undefined)
      yield {
        resource: rule.policy,
        path: ["spec", "rules", rule.index],
        title: `\`rules[${rule.index}]\` believes what the caller writes into X-Forwarded-For: at \`${witness.to.workload}\`, for one`,
        witness,
      };
  }
}

function asksForClient({ spec: { from = [], when = [] } }: EnforcedRule): boolean {
  return (
    when.some(({ key }) => key === "remote.ip") ||
    from.some(
      ({ source = {} }) => (source.remoteIpBlocks?.length ?? 0) + (source.notRemoteIpBlocks?.length ?? 0) > 0,
    )
  );
}

function isBound({ spec: { from = [], when = [] } }: EnforcedRule): boolean {
  return (
    when.some(({ key, values = [] }) => key.startsWith("source.") && values.length > 0) ||
    (from.length > 0 &&
      from.every(({ source = {} }) =>
        [source.principals, source.namespaces, source.serviceAccounts, source.ipBlocks].some(
          (list) => (list?.length ?? 0) > 0,
        ),
      ))
  );
}

/** A request that goes one way with one address in the header and the other way with another. */
function passing(audit: AuditContext, rule: EnforcedRule): Hit["witness"] {
  for (const server of rule.classes) {
    const compiled = compiledIn(server, rule);
    if (!server.isSidecar || compiled === undefined) continue;
    for (const probe of probesIn(audit, server, rule)) {
      const own = { ...probe, protocol: "http" as const };
      const claims = [...new Set([own.remoteIp, ...addressesIn(rule), "198.51.100.7", "10.255.255.1"])];
      const tried = claims.map((remoteIp) => ({ ...own, remoteIp }));
      const meets = (one: typeof own): boolean =>
        isMatched(compiled, server, one) === (rule.action === "ALLOW");
      const inside = tried.find((one) => one.remoteIp !== null && meets(one) && isLetThrough(server, one));
      const outside = tried.find((one) => !meets(one) && !isLetThrough(server, one));
      if (inside !== undefined && outside !== undefined) return accessRequestOf(inside, server);
    }
  }
  return undefined;
}

function addressesIn({ spec: { from = [], when = [] } }: EnforcedRule): readonly string[] {
  const blocks = [
    ...from.flatMap(({ source = {} }) => [
      ...(source.remoteIpBlocks ?? []),
      ...(source.notRemoteIpBlocks ?? []),
    ]),
    ...when.flatMap(({ key, values = [], notValues = [] }) =>
      key === "remote.ip" ? [...values, ...notValues] : [],
    ),
  ];
  return blocks.map((block) => block.split("/")[0] ?? "");
}
