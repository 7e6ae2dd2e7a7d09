import { type Resource, resourceName } from "../../../resources/resource.ts";
import type { AuditContext } from "../audit-context.ts";
import { fullHost, scopesOf } from "../facts/known-hosts.ts";
import { isMutual, wideTls } from "../facts/wide-tls.ts";
import { fieldsOf, itemsOf, textOf, textsOf } from "../facts/written.ts";
import type { Hit } from "../finding.ts";
import type { AuditRule } from "../rule.ts";

export const destinationRulesOverlap: AuditRule = {
  id: "BW0309",
  title: "DestinationRules for the same host of which not all counts",
  severity: "low",
  same: { kiali: "KIA0201" },
  attacks: ["M1", "M3"],
  what: "DestinationRules for the same host, or one of them for a wildcard that the other's host is under, seen by a common namespace (`exportTo`), that have a subset of one name, or of which one has no subsets. Rules for a whole namespace or the mesh (`*.ns.svc.cluster.local`, `*.local`) that switch on mutual TLS are there to be overridden, and are left out.",
  why: "The oldest rule for a host gives the settings, the most specific host takes all of them: the TLS mode, the name that is verified or the limits that another of them sets are not in force, and no file shows the age.",
  fix: "Join them into one rule.",
  claims: ["configuration-in-force"],
  check: overlaps,
};

interface Ruled {
  readonly resource: Resource;
  readonly host: string;
  readonly scopes: readonly string[];
  /** Empty: for all. */
  readonly subsets: ReadonlySet<string>;
}

/** As many as a person reads. */
const NAMED_RIVALS = 5;

function* overlaps(audit: AuditContext): Iterable<Hit> {
  const wide = new Set(audit.fact(wideTls).flatMap(({ rule, mode }) => (isMutual(mode) ? [rule] : [])));
  const rules = audit
    .every("networking.istio.io", "DestinationRule")
    .filter((rule) => !wide.has(rule))
    .map(ruled);
  const byHost = Map.groupBy(rules, ({ host }) => host);
  const rivals = new Map<Ruled, Set<Ruled>>();
  const collide = (one: Ruled, other: Ruled): void => {
    if (one === other || !areSeenTogether(one, other) || !shareSubset(one, other)) return;
    for (const [own, their] of [
      [one, other],
      [other, one],
    ] as const)
      rivals.set(own, (rivals.get(own) ?? new Set()).add(their));
  };
  for (const one of rules)
    for (const host of [one.host, ...wildcardsOver(one.host)])
      for (const other of byHost.get(host) ?? []) collide(one, other);
  for (const [{ resource, host }, others] of rivals) {
    const names = [...others].map((other) => resourceName(other.resource)).sort();
    const more = names.length > NAMED_RIVALS ? `, and ${names.length - NAMED_RIVALS} more` : "";
    yield {
      resource,
      path: ["spec", "host"],
      title: `\`${host}\`: also ${names.slice(0, NAMED_RIVALS).join(", ")}${more}`,
    };
  }
}

function ruled(resource: Resource): Ruled {
  const { host, exportTo, subsets } = fieldsOf(resource.spec);
  const written = textOf(host).toLowerCase();
  return {
    resource,
    host: fullHost(written, resource.namespace),
    scopes: scopesOf(textsOf(exportTo), resource.namespace),
    subsets: new Set([...itemsOf(subsets)].map(([, { name }]) => textOf(name))),
  };
}

/** `*.b.c`, `*.c`, `*` for `a.b.c`. */
function wildcardsOver(host: string): readonly string[] {
  const parts = host.split(".");
  return [...parts.keys()]
    .slice(1)
    .map((at) => `*.${parts.slice(at).join(".")}`)
    .concat(host === "*" ? [] : ["*"])
    .filter((one) => one !== host);
}

function areSeenTogether(one: Ruled, other: Ruled): boolean {
  return (
    one.scopes.includes("*") ||
    other.scopes.includes("*") ||
    one.scopes.some((scope) => other.scopes.includes(scope))
  );
}

function shareSubset(one: Ruled, other: Ruled): boolean {
  if (one.subsets.size === 0 || other.subsets.size === 0) return true;
  return [...one.subsets].some((name) => other.subsets.has(name));
}
