/** Clients that are to be compared, those together for which alike is decided. */
import type { Mesh, Workload } from "../../../model/mesh.ts";
import type { Semantics } from "../../../policy/inbound.ts";
import type { Cause } from "../causes.ts";
import { movingCauses } from "./moved-workloads.ts";
import { type Sender, Senders } from "./senders.ts";

/** Clients for which alike is decided before, and after. */
export interface ClientClass {
  readonly workloads: readonly Workload[];
  readonly senders: readonly [before: Sender, after: Sender];
  /** Why another proxy stands before them than did, or none, or it treats them as others. */
  readonly causes: readonly Cause[];
}

/** @param options.isNothing of all that proxies send by has changed: those alone count that have another proxy, or are told apart by it otherwise. */
export function clientClasses(
  before: Mesh,
  after: Mesh,
  { isNothing, semantics }: { readonly isNothing: boolean; readonly semantics: Semantics },
): readonly ClientClass[] {
  const old = new Map(before.workloads.map((workload) => [workload.key, workload]));
  const [was, is] = [new Senders(before, semantics), new Senders(after, semantics)];
  const numbers = new Map<Sender, number>();
  const numberOf = (sender: Sender): number => {
    const known = numbers.get(sender) ?? numbers.size;
    numbers.set(sender, known);
    return known;
  };
  const classes = new Map<string, ClientClass & { readonly workloads: Workload[] }>();
  for (const workload of after.workloads) {
    const known = old.get(workload.key);
    if (known === undefined || !isCompared(known, workload)) continue;
    if (isNothing && isSameClient(known, workload)) continue;
    const senders = [was.of(known), is.of(workload)] as const;
    const isMoved = senders[0].text !== senders[1].text;
    if (isNothing && !isMoved) continue;
    const causes = isMoved ? movingCauses([before, after], [known, workload]) : [];
    const key = [...senders.map(numberOf), ...causes.map(({ resource }) => resource)].join("|");
    const own = classes.get(key);
    if (own !== undefined) own.workloads.push(workload);
    else classes.set(key, { workloads: [workload], senders, causes });
  }
  return [...classes.values()];
}

/** Whether nothing of the pod says another proxy, or that it treats it as others: asked of every workload, at no cost. */
function isSameClient(before: Workload, after: Workload): boolean {
  if (before.dataplane !== after.dataplane) return false;
  if (before.resource === after.resource) return true;
  const [old, now] = [before, after].map(({ labels, capture }) => JSON.stringify([labels, capture]));
  return old === now;
}

/** What pods without a proxy send nobody decides, and ztunnels are compared by themselves. */
function isCompared(before: Workload, after: Workload): boolean {
  if ([before, after].some(({ role }) => role !== "application")) return false;
  return before.dataplane !== after.dataplane || after.dataplane === "sidecar";
}
