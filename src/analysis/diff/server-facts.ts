/** All that the server's side of a workload hangs on, as one text: equal texts, equal decisions. */
import type { Mesh, Workload } from "../../model/mesh.ts";
import { attachedPolicies } from "../../policy/policy-attachment.ts";
import { policiesFor } from "../../policy/policy-lookup.ts";
import { compilePortProtocols } from "../../policy/port-protocol.ts";
import type { Resource } from "../../resources/resource.ts";

export interface ServerFacts {
  readonly text: string;
  /** The part of it that no policy says. */
  readonly own: string;
  /** The policies that hold for the workload. */
  readonly resources: readonly Resource[];
}

/** INVARIANT: a workload belongs to one mesh. */
const FACTS = new WeakMap<Workload, ServerFacts>();

/** Kept: who watches compares one mesh with many. */
export function serverFacts(mesh: Mesh, workload: Workload): ServerFacts {
  const known = FACTS.get(workload);
  if (known !== undefined) return known;
  const made = collectFacts(mesh, workload);
  FACTS.set(workload, made);
  return made;
}

function collectFacts(mesh: Mesh, workload: Workload): ServerFacts {
  const { config } = mesh;
  const resources: readonly Resource[] = [
    ...attachedPolicies(mesh.authorizationPolicies, workload, config.rootNamespace),
    ...attachedPolicies(mesh.requestAuthentications, workload, config.rootNamespace),
    ...policiesFor(mesh.peerAuthentications, workload, config.rootNamespace),
  ];
  const { role, dataplane, unproxied, capture } = workload;
  const ports = role === "gateway" ? [] : [...compilePortProtocols(mesh, workload)];
  const own = [role, dataplane, unproxied, capture, ports, workload.annotations["proxy.istio.io/config"]];
  const beside = `${JSON.stringify(own)}\n${configText(mesh)}`;
  return { text: [beside, ...resources.map(textOf)].join("\n"), own: beside, resources };
}

const CONFIGS = new WeakMap<Mesh, string>();

function configText(mesh: Mesh): string {
  const known = CONFIGS.get(mesh);
  if (known !== undefined) return known;
  const made = JSON.stringify(mesh.config);
  CONFIGS.set(mesh, made);
  return made;
}

const TEXTS = new WeakMap<Resource, string>();

/** What a resource says, wherever it stands and however it is laid out. */
export function textOf(resource: Resource): string {
  const known = TEXTS.get(resource);
  if (known !== undefined) return known;
  const { kind, namespace, name, annotations, labels, spec, body } = resource;
  const made = JSON.stringify(sorted([kind, namespace, name, annotations, labels, spec, body.data]));
  TEXTS.set(resource, made);
  return made;
}

/** Keys have no order in YAML. */
function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== "object" || value === null) return value;
  const entries = Object.entries(value).toSorted(([a], [b]) => (a < b ? -1 : 1));
  return Object.fromEntries(entries.map(([key, inner]) => [key, sorted(inner)]));
}
