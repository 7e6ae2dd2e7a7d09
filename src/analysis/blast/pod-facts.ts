/** What a pod's own description gives to whoever runs code in it: tokens, Secrets, a way to the node. */

import type { Mesh, Workload } from "../../model/mesh.ts";
import { podOf } from "../../model/written-pod.ts";
import type { FieldPath, Resource } from "../../resources/resource.ts";

/** Something in the pod's description, and where it stands. */
export interface PodFact {
  readonly text: string;
  readonly resource: Resource;
  readonly path: FieldPath;
}

export interface PodFacts {
  /** The account's token for the API server is in the pod; absent: nothing mounts it. */
  readonly token?: PodFact;
  /** Names of Secrets of its namespace that are mounted or read into its environment. */
  readonly secrets: readonly (PodFact & { readonly name: string })[];
  /** What leads to the node. */
  readonly toNode: readonly PodFact[];
}

type Json = Readonly<Record<string, unknown>>;

const FACTS = new WeakMap<Workload, PodFacts>();

/** A WorkloadEntry is no pod: it has none of these. */
export function podFacts(mesh: Mesh, workload: Workload): PodFacts {
  const known = FACTS.get(workload);
  if (known !== undefined) return known;
  const made = readFacts(mesh, workload);
  FACTS.set(workload, made);
  return made;
}

const NOTHING: PodFacts = { secrets: [], toNode: [] };

function readFacts(mesh: Mesh, workload: Workload): PodFacts {
  const written = podOf(workload.resource);
  if (written === undefined) return NOTHING;
  const spec = record(written.pod.spec);
  const at: FieldPath = [...written.at, "spec"];
  const fact = (path: FieldPath, text: string): PodFact => ({
    text,
    resource: workload.resource,
    path: [...at, ...path],
  });
  const token = tokenOf(mesh, workload, spec, fact);
  return {
    ...(token === undefined ? {} : { token }),
    secrets: secretsOf(spec, fact),
    toNode: toNodeOf(spec, fact),
  };
}

type MakeFact = (path: FieldPath, text: string) => PodFact;

/** The pod's own word counts before its account's; without any it is mounted. A projected volume is mounted whatever they say. */
function tokenOf(
  mesh: Mesh,
  { namespace, serviceAccount }: Workload,
  spec: Json,
  fact: MakeFact,
): PodFact | undefined {
  const projected = list(spec.volumes).findIndex((volume) => projectsApiToken(volume));
  if (projected >= 0) return fact(["volumes", projected], "a projected volume mounts the account's token");
  const own = spec.automountServiceAccountToken;
  if (own === false) return undefined;
  if (own === true) return fact(["automountServiceAccountToken"], "the account's token is mounted");
  const account = accountsOf(mesh).get(`${namespace}/${serviceAccount}`);
  if (account?.body.automountServiceAccountToken === false) return undefined;
  return fact([], "the account's token is mounted, as nothing says `automountServiceAccountToken: false`");
}

/** A token for another audience is none for the API server. */
function projectsApiToken(volume: Json): boolean {
  const sources = list(record(volume.projected).sources);
  return sources.some((source) => {
    const { serviceAccountToken } = source;
    return serviceAccountToken !== undefined && record(serviceAccountToken).audience === undefined;
  });
}

const ACCOUNTS = new WeakMap<Mesh, ReadonlyMap<string, Resource>>();

/** ServiceAccounts that files have, by `namespace/name`. */
export function accountsOf(mesh: Mesh): ReadonlyMap<string, Resource> {
  const known = ACCOUNTS.get(mesh);
  if (known !== undefined) return known;
  const found = mesh.resources.filter(
    ({ kind, apiVersion }) => kind === "ServiceAccount" && apiVersion === "v1",
  );
  const made = new Map(found.map((account) => [`${account.namespace}/${account.name}`, account]));
  ACCOUNTS.set(mesh, made);
  return made;
}

function secretsOf(spec: Json, fact: MakeFact): PodFacts["secrets"] {
  const found: (PodFact & { readonly name: string })[] = [];
  const add = (name: unknown, path: FieldPath): void => {
    if (typeof name === "string" && name !== "") found.push({ ...fact(path, "the pod has it"), name });
  };
  for (const [at, volume] of list(spec.volumes).entries()) {
    add(record(volume.secret).secretName, ["volumes", at]);
    for (const source of list(record(volume.projected).sources))
      add(record(source.secret).name, ["volumes", at]);
  }
  for (const [kind, at, container] of containersOf(spec)) {
    for (const entry of list(container.envFrom)) add(record(entry.secretRef).name, [kind, at, "envFrom"]);
    for (const entry of list(container.env))
      add(record(record(entry.valueFrom).secretKeyRef).name, [kind, at, "env"]);
  }
  for (const entry of list(spec.imagePullSecrets)) add(entry.name, ["imagePullSecrets"]);
  return found;
}

const RUNTIME_SOCKETS = /\/(docker|containerd\/containerd|crio\/crio|cri-dockerd|podman\/podman)\.sock$/;

function toNodeOf(spec: Json, fact: MakeFact): readonly PodFact[] {
  const found: PodFact[] = [];
  for (const field of ["hostPID", "hostNetwork"] as const)
    if (spec[field] === true) found.push(fact([field], `\`${field}: true\`: it shares this with its node`));
  for (const [at, volume] of list(spec.volumes).entries()) {
    const { path } = record(volume.hostPath);
    if (typeof path !== "string") continue;
    const what = RUNTIME_SOCKETS.test(path) ? "the container runtime's socket" : "a folder of its node";
    found.push(fact(["volumes", at], `hostPath \`${path}\`: ${what}`));
  }
  for (const [kind, at, { securityContext }] of containersOf(spec)) {
    if (record(securityContext).privileged === true)
      found.push(fact([kind, at, "securityContext"], "a privileged container has its node's devices"));
    const added = record(record(securityContext).capabilities).add;
    if (Array.isArray(added) && added.some((own) => NODE_CAPABILITIES.has(String(own))))
      found.push(fact([kind, at, "securityContext"], "a container with capability SYS_ADMIN or ALL"));
  }
  return found;
}

const NODE_CAPABILITIES: ReadonlySet<string> = new Set(["ALL", "SYS_ADMIN", "CAP_SYS_ADMIN"]);

function* containersOf(spec: Json): Generator<readonly [kind: string, at: number, container: Json]> {
  for (const kind of ["containers", "initContainers", "ephemeralContainers"])
    for (const [at, container] of list(spec[kind]).entries()) yield [kind, at, container];
}

function record(value: unknown): Json {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Json) : {};
}

function list(value: unknown): readonly Json[] {
  return Array.isArray(value) ? value.map(record) : [];
}
