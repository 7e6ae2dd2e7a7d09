/** New workloads that come by a name which others know: who has another's account, or one that policies let in by name, may what that may. */
import type { Mesh, Workload } from "../../model/mesh.ts";
import type { Resource } from "../../resources/resource.ts";
import { type Cause, causeAt } from "./causes.ts";

/** What each may reach is not computed: that it is somebody already is told. */
export function borrowedAccounts(before: Mesh, after: Mesh): readonly Cause[] {
  const old = new Set(before.workloads.map(({ key }) => key));
  const added = after.workloads.filter(({ key }) => !old.has(key));
  if (added.length === 0) return [];
  const holders = new Map(before.workloads.map((workload) => [workload.spiffeId, workload]));
  const patterns = new Set(before.resources.flatMap(accountPatterns));
  return added.flatMap((workload) => {
    const by = holderOf(workload, holders, patterns);
    return by === undefined
      ? []
      : [{ ...causeAt(workload.resource, "added"), what: `what it reaches as ${by}` }];
  });
}

function holderOf(
  { spiffeId, namespace, serviceAccount }: Workload,
  holders: ReadonlyMap<string, Workload>,
  patterns: ReadonlySet<string>,
): string | undefined {
  const principal = spiffeId.slice("spiffe://".length);
  const holder = holders.get(spiffeId);
  if (holder !== undefined) return `${principal}, the identity of ${holder.key}`;
  const isNamed = [...patterns].some(
    (pattern) => matches(pattern, principal) || pattern === `${namespace}/${serviceAccount}`,
  );
  return isNamed ? `${principal}, whom policies name` : undefined;
}

/** Patterns of principals that name accounts, and accounts as `serviceAccounts` has them: those of the policy's own namespace may lack it. */
function accountPatterns({ kind, namespace: own, spec }: Resource): readonly string[] {
  if (kind !== "AuthorizationPolicy") return [];
  const { rules } = spec as { readonly rules?: readonly RuleShape[] };
  const sources = (rules ?? []).flatMap(({ from }) => (from ?? []).map(({ source }) => source ?? {}));
  return sources.flatMap(({ principals = [], serviceAccounts = [] }) => [
    ...principals.filter((pattern) => pattern.includes("/sa/")),
    ...serviceAccounts.map((account) => (account.includes("/") ? account : `${own}/${account}`)),
  ]);
}

interface RuleShape {
  readonly from?: readonly {
    readonly source?: {
      readonly principals?: readonly string[];
      readonly serviceAccounts?: readonly string[];
    };
  }[];
}

/** As policies match: a star stands at an end. */
function matches(pattern: string, principal: string): boolean {
  if (pattern.startsWith("*")) return principal.endsWith(pattern.slice(1));
  if (pattern.endsWith("*")) return principal.startsWith(pattern.slice(0, -1));
  return pattern === principal;
}
