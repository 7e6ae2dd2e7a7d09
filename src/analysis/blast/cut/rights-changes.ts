/** Changes of what Kubernetes lets accounts do, and of what pods are given. */

import type { Workload } from "../../../model/mesh.ts";
import { podOf } from "../../../model/written-pod.ts";
import { EVERY_NODE, kindOf, namesOf, restOf } from "../component.ts";
import type { Gain, GainGraph } from "../gains.ts";
import { podFacts } from "../pod-facts.ts";
import type { Grant } from "../rbac.ts";
import type { Right } from "../rbac-rights.ts";
import { type Change, documentWith, type Json } from "./change.ts";

/** The change that takes this gain away; undefined where none is known that leaves the rest as it is. */
export function changeAgainst(graph: GainGraph, from: string, gain: Gain): Change | undefined {
  if (gain.right !== undefined) return withoutRight(gain.right, from);
  if (kindOf(gain.to) === "token") return withoutMount(graph, graph.byKey.get(restOf(from)), gain);
  if (gain.to === EVERY_NODE && kindOf(from) === "pods") return withPodSecurity(graph, restOf(from));
  return undefined;
}

function withoutRight(right: Right, account: string): Change | undefined {
  const [grant] = right.grants;
  return canDrop(grant) ? withoutVerbs(grant, right) : withoutSubject(grant, account);
}

/** A star cannot be taken from: there the binding has to go. */
function canDrop({ role, verbs, resources, apiGroups }: Grant): boolean {
  const isPlain = [verbs, resources, apiGroups].every((list) => !list.includes("*"));
  return role !== null && isPlain && !resources.some((own) => own.startsWith("*/"));
}

function withoutVerbs(grant: Grant, { verbs: dropped, resources, text }: Right): Change | undefined {
  const { role, rule } = grant;
  if (role === null) return undefined;
  const rules: readonly unknown[] = Array.isArray(role.body.rules) ? role.body.rules : [];
  const own = (rules[rule] ?? {}) as Json;
  const isMeant = (resource: string): boolean => resources.includes(resource);
  const others = grant.resources.filter((resource) => !isMeant(resource));
  const left = grant.verbs.filter((verb) => !dropped.includes(verb));
  const replaced = [
    ...(others.length > 0 ? [{ ...own, resources: others }] : []),
    ...(left.length > 0 ? [{ ...own, resources: grant.resources.filter(isMeant), verbs: left }] : []),
  ];
  const name = `${role.kind} ${role.namespace === "" ? "" : `${role.namespace}/`}${role.name}`;
  const verbs = grant.verbs.filter((verb) => dropped.includes(verb)).join(", ");
  return {
    id: `${name} rule ${rule} ${text}`,
    weight: 2,
    title: `${name}: no ${verbs} on ${grant.resources.filter(isMeant).join(", ")}`,
    takes: `these verbs, from everybody whom a binding gives this ${role.kind}`,
    document: documentWith(role, ["rules"], [...rules.slice(0, rule), ...replaced, ...rules.slice(rule + 1)]),
  };
}

function withoutSubject({ binding }: Grant, holding: string): Change | undefined {
  const [namespace, account] = namesOf(holding);
  const subjects: readonly unknown[] = Array.isArray(binding.body.subjects) ? binding.body.subjects : [];
  const isOwn = (subject: unknown): boolean => {
    const { kind, name, namespace: own = binding.namespace } = subject as Readonly<Record<string, string>>;
    return kind === "ServiceAccount" && name === account && own === namespace;
  };
  const left = subjects.filter((subject) => !isOwn(subject));
  // Groups are others' as well.
  if (left.length === subjects.length) return undefined;
  const name = `${binding.kind} ${binding.namespace === "" ? "" : `${binding.namespace}/`}${binding.name}`;
  return {
    id: `${name} without ${namespace}/${account}`,
    weight: 3,
    title: `${name}: not for ${namespace}/${account}`,
    takes: `all that the role gives, from this account: kubectl auth can-i --list --as system:serviceaccount:${namespace}:${account} shows it`,
    document: documentWith(binding, ["subjects"], left),
  };
}

/** Whose pod's fields nobody may change. */
const FROZEN: ReadonlySet<string> = new Set(["Pod", "Job"]);

function withoutMount(graph: GainGraph, workload: Workload | undefined, gain: Gain): Change | undefined {
  const token = workload === undefined ? undefined : podFacts(graph.mesh, workload).token;
  const written = workload === undefined ? undefined : podOf(workload.resource);
  if (workload === undefined || written === undefined || token === undefined) return undefined;
  // A projected volume was asked for by whoever wrote it.
  if (token.path.includes("volumes") || gain.to !== `token/${workload.namespace}/${workload.serviceAccount}`)
    return undefined;
  const isUsed = graph.rbac.grantsOf(workload.namespace, workload.serviceAccount).length > 0;
  return {
    id: `automount ${workload.key}`,
    // Whoever gave the account rights means it to use them.
    weight: isUsed ? 6 : 1,
    title: `${workload.kind} ${workload.namespace}/${workload.name}: the account's token is not mounted`,
    takes: `the API server, for its containers. ${FROZEN.has(workload.kind) ? `A ${workload.kind} does not take it while it is there: kubectl replace --force makes it anew` : "Its pods are made anew"}`,
    document: documentWith(workload.resource, [...written.at, "spec", "automountServiceAccountToken"], false),
  };
}

const ENFORCE = "pod-security.kubernetes.io/enforce";

function withPodSecurity(graph: GainGraph, namespace: string): Change | undefined {
  const resource = graph.mesh.resources.find(
    ({ kind, apiVersion, name }) => kind === "Namespace" && apiVersion === "v1" && name === namespace,
  );
  if (resource === undefined) return undefined;
  return {
    id: `pod security ${namespace}`,
    weight: 1,
    title: `Namespace ${namespace}: no privileged pods (Pod Security \`baseline\`)`,
    takes: `pods that ask for more, istio-init among them (NET_ADMIN) where Istio's CNI plugin is not there; before: kubectl label --dry-run=server --overwrite namespace ${namespace} ${ENFORCE}=baseline`,
    document: documentWith(resource, ["metadata", "labels"], { ...resource.labels, [ENFORCE]: "baseline" }),
  };
}
