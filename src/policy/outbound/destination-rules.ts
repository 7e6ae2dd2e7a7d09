/**
 * Which DestinationRule shapes a client's connections to a service: of the client's namespace, else of the service's,
 * else of the root namespace; the most specific host there; rules for one host merged.
 */
import type { DestinationRuleSpec, Labels, Mesh } from "../../model/mesh.ts";
import { matchesLabels } from "../../model/selector.ts";
import { type Resource, resourceName } from "../../resources/resource.ts";
import { type HostTable, mostSpecific, newHostTable, resolveShortName, tableOf } from "./host-name.ts";
import type { RegistryService } from "./registry.ts";
import {
  type DestinationRuleShape,
  type PortedTrafficPolicy,
  type Subset,
  shapeOf,
} from "./resource-shapes.ts";

/** One rule, or several for the same host merged: subsets are united, the oldest traffic policy stands. */
export interface MergedRule {
  readonly namespace: string;
  /** Set when the rule is for some workloads of its namespace only. */
  readonly selector?: Labels;
  readonly exportTo: readonly string[];
  readonly trafficPolicy?: PortedTrafficPolicy;
  readonly subsets: readonly Subset[];
  /** Oldest first. */
  readonly from: readonly string[];
}

type RuleTable = HostTable<MergedRule[]>;

export interface DestinationRules {
  /** Candidates for a service as seen from a namespace; which of them holds depends on the client's labels. */
  candidates(clientNamespace: string, service: RegistryService): readonly MergedRule[];
}

interface Tables {
  readonly local: Map<string, RuleTable>;
  readonly exported: Map<string, RuleTable>;
  /** Private rules of the root namespace, which hold for its own workloads only. */
  readonly rootPrivate: RuleTable;
}

export function indexDestinationRules(mesh: Mesh): DestinationRules {
  const root = mesh.config.rootNamespace;
  const tables: Tables = { local: new Map(), exported: new Map(), rootPrivate: newHostTable() };
  const privateByDefault = mesh.config.defaultDestinationRuleExportTo.includes(".");
  for (const resource of selectiveFirst(mesh.destinationRules))
    addRule(tables, resource, root, privateByDefault);
  return {
    candidates(client, service) {
      const own = client === root ? tables.rootPrivate : tables.local.get(client);
      const local = own === undefined ? undefined : mostSpecific(service.hostname, own);
      if (local !== undefined) return local;
      const owner = exportedTo(client, service.hostname, tables.exported.get(service.namespace));
      return owner.length > 0 ? owner : exportedTo(client, service.hostname, tables.exported.get(root));
    },
  };
}

/** The rule that holds for a client with these labels: one that selects it, else the last without a selector. */
export function ruleForClient(
  candidates: readonly MergedRule[],
  clientNamespace: string,
  labels: Labels,
): MergedRule | undefined {
  let general: MergedRule | undefined;
  for (const rule of candidates) {
    if (rule.selector === undefined) general = rule;
    else if (rule.namespace === clientNamespace && matchesLabels(rule.selector, labels)) return rule;
  }
  return general;
}

function selectiveFirst(rules: readonly Resource<DestinationRuleSpec>[]): readonly Resource[] {
  const selects = (rule: Resource): boolean =>
    shapeOf<DestinationRuleShape>(rule).workloadSelector !== undefined;
  return [...rules.filter(selects), ...rules.filter((rule) => !selects(rule))];
}

function addRule(tables: Tables, resource: Resource, root: string, privateByDefault: boolean): void {
  const { namespace } = resource;
  const shape = shapeOf<DestinationRuleShape>(resource);
  const host = resolveShortName(shape.host, namespace);
  const rule = toMergedRule(resource, shape);
  const { exportTo } = rule;
  if (exportTo.length === 0 || exportTo.some((to) => to === "*" || to === "." || to === namespace))
    mergeInto(tableFor(tables.local, namespace), host, rule);
  if (!isPrivate(exportTo, namespace, privateByDefault))
    mergeInto(tableFor(tables.exported, namespace), host, rule);
  else if (namespace === root) mergeInto(tables.rootPrivate, host, rule);
}

function toMergedRule(resource: Resource, shape: DestinationRuleShape): MergedRule {
  const selector = shape.workloadSelector;
  return {
    namespace: resource.namespace,
    ...(selector === undefined ? {} : { selector: selector.matchLabels ?? {} }),
    // A rule for some workloads never leaves its namespace.
    exportTo: selector === undefined ? [...new Set(shape.exportTo ?? [])] : ["."],
    ...(shape.trafficPolicy === undefined ? {} : { trafficPolicy: shape.trafficPolicy }),
    subsets: shape.subsets ?? [],
    from: [resourceName(resource)],
  };
}

function isPrivate(exportTo: readonly string[], namespace: string, privateByDefault: boolean): boolean {
  if (exportTo.length === 0) return privateByDefault;
  return exportTo.length === 1 && (exportTo[0] === "." || exportTo[0] === namespace);
}

function tableFor(tables: Map<string, RuleTable>, namespace: string): RuleTable {
  let table = tables.get(namespace);
  if (table === undefined) {
    table = newHostTable();
    tables.set(namespace, table);
  }
  return table;
}

/**
 * Rules with the same audience merge. A wider one merges into the narrower and is gone, so that who is of the wider audience alone has no rule (as in
 * Istio); it stands by itself as well only where the narrower is for some workloads.
 * @see istio/istio, pilot/pkg/model/destination_rule.go `mergeDestinationRule`
 */
function mergeInto(table: RuleTable, host: string, rule: MergedRule): void {
  const map = tableOf(table, host);
  const existing = map.get(host);
  if (existing === undefined) {
    map.set(host, [rule]);
    return;
  }
  let standsAlone = true;
  for (const [index, other] of existing.entries()) {
    const relation = audience(rule.exportTo, other.exportTo);
    standsAlone = relation !== "same";
    if (relation === "narrower") continue;
    // Those with a selector come first, so that none of them meets one without.
    if (rule.selector !== undefined && !sameLabels(rule.selector, other.selector ?? {})) {
      standsAlone = true;
      continue;
    }
    if (other.selector === undefined) standsAlone = false;
    existing[index] = merge(other, rule);
  }
  if (standsAlone) existing.push(rule);
}

function audience(incoming: readonly string[], existing: readonly string[]): "same" | "wider" | "narrower" {
  const covers = existing.every((to) => incoming.includes(to));
  if (covers && incoming.length === existing.length) return "same";
  return covers && existing.length > 0 ? "wider" : "narrower";
}

function sameLabels(a: Labels, b: Labels): boolean {
  return matchesLabels(a, b) && matchesLabels(b, a);
}

function merge(older: MergedRule, newer: MergedRule): MergedRule {
  const known = new Set(older.subsets.map((subset) => subset.name));
  const trafficPolicy = older.trafficPolicy ?? newer.trafficPolicy;
  return {
    ...older,
    ...(trafficPolicy === undefined ? {} : { trafficPolicy }),
    subsets: [...older.subsets, ...newer.subsets.filter((subset) => !known.has(subset.name))],
    from: [...older.from, ...newer.from],
  };
}

function exportedTo(client: string, hostname: string, table: RuleTable | undefined): readonly MergedRule[] {
  const rules = table === undefined ? undefined : mostSpecific(hostname, table);
  return (rules ?? []).filter(
    ({ exportTo }) => exportTo.length === 0 || exportTo.includes("*") || exportTo.includes(client),
  );
}
