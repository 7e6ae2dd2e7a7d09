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
  /** What the kubelet fetches for the pod, and keeps from it: credentials of registries and of drivers. */
  readonly kubeletSecrets: readonly string[];
  /** A token that the mesh's CA takes, and the API server does not. */
  readonly caToken?: PodFact;
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

const NOTHING: PodFacts = { secrets: [], kubeletSecrets: [], toNode: [] };

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
  const forCa = projectedAt(spec, isForCa);
  return {
    ...(token === undefined ? {} : { token }),
    ...(forCa < 0
      ? {}
      : { caToken: fact(["volumes", forCa], "a projected volume mounts a token for the CA") }),
    secrets: secretsOf(spec, fact),
    kubeletSecrets: kubeletSecretsOf(mesh, workload, spec),
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
  const projected = projectedAt(spec, isForApiServer);
  if (projected >= 0) return fact(["volumes", projected], "a projected volume mounts the account's token");
  const own = spec.automountServiceAccountToken;
  if (own === false) return undefined;
  if (own === true) return fact(["automountServiceAccountToken"], "the account's token is mounted");
  const account = accountsOf(mesh).get(`${namespace}/${serviceAccount}`);
  if (account?.body.automountServiceAccountToken === false) return undefined;
  return fact([], "the account's token is mounted, as nothing says `automountServiceAccountToken: false`");
}

/** The volume that projects a token for such an audience; -1: none does. */
function projectedAt(spec: Json, isAudience: (audience: unknown) => boolean): number {
  return list(spec.volumes).findIndex((volume) =>
    list(record(volume.projected).sources).some(
      ({ serviceAccountToken: token }) => token !== undefined && isAudience(record(token).audience),
    ),
  );
}

/** Its issuer's address stands for the API server where nothing is said; a cluster's own name for it is one that most are given. */
function isForApiServer(audience: unknown): boolean {
  if (audience === undefined || audience === "") return true;
  return typeof audience === "string" && /^(https:\/\/)?kubernetes\.default(\.svc(\..+)?)?$/.test(audience);
}

/** @see https://istio.io/latest/docs/ops/best-practices/security/#configure-third-party-service-account-tokens */
function isForCa(audience: unknown): boolean {
  return audience === "istio-ca";
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
  return found;
}

/** Of registries: the pod's own, or else its account's. Of volumes: what their drivers mount them with. */
function kubeletSecretsOf(
  mesh: Mesh,
  { namespace, serviceAccount }: Workload,
  spec: Json,
): readonly string[] {
  const own = list(spec.imagePullSecrets);
  const account = accountsOf(mesh).get(`${namespace}/${serviceAccount}`);
  const pulls = own.length > 0 ? own : list(account?.body.imagePullSecrets);
  const drivers = list(spec.volumes).flatMap((volume) => [
    record(record(volume.csi).nodePublishSecretRef).name,
    record(volume.azureFile).secretName,
    ...["cephfs", "cinder", "flexVolume", "iscsi", "rbd", "scaleIO", "storageos"].map(
      (kind) => record(record(volume[kind]).secretRef).name,
    ),
  ]);
  const names = [...pulls.map(({ name }) => name), ...drivers];
  return names.filter((name): name is string => typeof name === "string" && name !== "");
}

const RUNTIME_SOCKETS = /\/(docker|containerd\/containerd|crio\/crio|cri-dockerd|podman\/podman)\.sock$/;

function toNodeOf(spec: Json, fact: MakeFact): readonly PodFact[] {
  const found: PodFact[] = [];
  if (isHostProcess(spec.securityContext))
    found.push(fact(["securityContext"], "`hostProcess: true`: it is a process of its node"));
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
    if (isHostProcess(securityContext))
      found.push(fact([kind, at, "securityContext"], "`hostProcess: true`: it is a process of its node"));
    const added = record(record(securityContext).capabilities).add;
    const [way] = Array.isArray(added)
      ? added.map(capability).filter((own) => NODE_CAPABILITIES.has(own))
      : [];
    if (way !== undefined)
      found.push(fact([kind, at, "securityContext"], `a container with capability ${way}`));
  }
  return found;
}

/** On Windows. */
function isHostProcess(securityContext: unknown): boolean {
  return record(record(securityContext).windowsOptions).hostProcess === true;
}

function capability(written: unknown): string {
  return String(written).toUpperCase().replace(/^CAP_/, "");
}

/** Mount what it likes; load modules into the node's kernel; open files of the node by their handles. */
const NODE_CAPABILITIES: ReadonlySet<string> = new Set(["ALL", "SYS_ADMIN", "SYS_MODULE", "DAC_READ_SEARCH"]);

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
