import type { OperationSpec, RuleSpec } from "../../../policy/authorization-spec.ts";
import type { AuditContext } from "../audit-context.ts";
import { compiledIn, type EnforcedRule, enforcedRules } from "../facts/enforced-rules.ts";
import type { ServerClass } from "../facts/server-classes.ts";
import type { Hit } from "../finding.ts";
import type { AuditRule } from "../rule.ts";

export const tcpAttributes: AuditRule = {
  id: "BW0614",
  title: "A rule about HTTP at ports that speak TCP",
  severity: "medium",
  attacks: ["M8"],
  what:
    "Rules with HTTP attributes (methods, paths, hosts, headers, tokens) that hold at a port which a Service declares as TCP, or as TLS. A DENY loses the attribute there, not the rule: it refuses whatever else it matches, " +
    "often everything. Of an ALLOW the rule goes; that is told only where `ports` of the rule names such ports and no others, so that it can never match. Rules that a `ports` keeps off these ports are not told.",
  why: "A DENY of one path closes the database port to everybody, and is taken away in haste when that is noticed; an ALLOW that cannot match has somebody add a wider one.",
  fix: "Give the rule `ports` of HTTP alone, and one of its own, without HTTP attributes, to the TCP ports; or declare the port as what it speaks.",
  claims: ["policies-hold"],
  check: attributes,
};

function* attributes(audit: AuditContext): Iterable<Hit> {
  for (const rule of audit.fact(enforcedRules)) {
    if (rule.action !== "ALLOW" && rule.action !== "DENY") continue;
    for (const server of rule.classes) {
      const ports = server.isSidecar ? tcpPorts(server, rule) : [];
      const names = ports.length === 0 ? [] : lostAt(server, rule);
      if (names.length === 0) continue;
      yield {
        resource: rule.policy,
        path: ["spec", "rules", rule.index],
        title: titleOf(rule, names, ports, server),
      };
      break;
    }
  }
}

function titleOf(
  { action, index, spec }: EnforcedRule,
  names: readonly string[],
  ports: readonly number[],
  { workload }: ServerClass,
): string {
  const where = `at TCP port${ports.length > 1 ? "s" : ""} ${ports.join(", ")} of \`${workload.key}\``;
  const lost = names.map((name) => `\`${name}\``).join(", ");
  if (action === "ALLOW") return `\`rules[${index}]\` can never match ${where}: it asks for ${lost}`;
  const rest = isAllHttp(spec) ? "denies everything" : "denies all that the rest of it matches";
  return `\`rules[${index}]\` ${rest} ${where}: ${lost} ${names.length > 1 ? "are" : "is"} lost there`;
}

/** What sidecars know of HTTP requests alone; addresses and server names are known on TCP, too. */
const HTTP_FIELD = /^(hosts|methods|paths|requestPrincipals|request\..*)$/;

function lostAt(server: ServerClass, rule: EnforcedRule): readonly string[] {
  const compiled = compiledIn(server, rule);
  const fields = [...(compiled?.sources ?? []), ...(compiled?.operations ?? [])]
    .flat()
    .map(({ field }) => field);
  return [...new Set(fields)].filter((field) => HTTP_FIELD.test(field));
}

/** Whether nothing of the rule is left without its HTTP attributes, at such a port. */
function isAllHttp({ from = [], to = [], when = [] }: RuleSpec): boolean {
  return (
    from.length === 0 &&
    when.every(({ key }) => HTTP_FIELD.test(key)) &&
    to.some(({ operation: { ports = [], notPorts = [] } = {} }) => ports.length + notPorts.length === 0)
  );
}

function tcpPorts({ ports: declared }: ServerClass, { action, spec }: EnforcedRule): readonly number[] {
  const tcp = [...declared].filter(([, protocol]) => protocol === "tcp").map(([port]) => port);
  const operations = (spec.to ?? []).map(({ operation = {} }) => operation);
  if (action === "ALLOW") {
    const named = operations.flatMap(({ ports = [] }) => ports.map(Number));
    const isBound = operations.length > 0 && operations.every(({ ports = [] }) => ports.length > 0);
    return isBound && named.every((port) => tcp.includes(port)) ? [...new Set(named)] : [];
  }
  const byWhen = spec.when?.filter(({ key }) => key === "destination.port") ?? [];
  return tcp
    .filter((port) =>
      byWhen.every(({ values, notValues }) => isAt({ ports: values ?? [], notPorts: notValues ?? [] }, port)),
    )
    .filter((port) => operations.length === 0 || operations.some((operation) => isAt(operation, port)));
}

function isAt({ ports = [], notPorts = [] }: OperationSpec, port: number): boolean {
  return (ports.length === 0 || ports.includes(String(port))) && !notPorts.includes(String(port));
}
