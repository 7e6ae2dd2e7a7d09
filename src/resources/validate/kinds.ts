import { didYouMean } from "../did-you-mean.ts";
import { apiGroup } from "../scope.ts";
import { BULWARK_KINDS } from "./access-invariant.ts";
import { NEWER_KINDS } from "./newer-fields.ts";
import { POLICY_CRDS } from "./policy-crds.ts";

/** Throws an error with `errors` where the value does not fit its schema. */
export type GeneratedValidator = (value: unknown) => void;

export type KindLookup =
  | { readonly known: true; readonly validate?: GeneratedValidator }
  | { readonly known: false };

/** All versions of an Istio kind have one schema; the package checks the version it was made for. */
const ISTIO_KINDS: Readonly<Record<string, string>> = {
  AuthorizationPolicy: "security.istio.io/v1",
  PeerAuthentication: "security.istio.io/v1",
  RequestAuthentication: "security.istio.io/v1",
  DestinationRule: "networking.istio.io/v1",
  EnvoyFilter: "networking.istio.io/v1alpha3",
  Gateway: "networking.istio.io/v1",
  ProxyConfig: "networking.istio.io/v1beta1",
  ServiceEntry: "networking.istio.io/v1",
  Sidecar: "networking.istio.io/v1",
  VirtualService: "networking.istio.io/v1",
  WorkloadEntry: "networking.istio.io/v1",
  WorkloadGroup: "networking.istio.io/v1",
  Telemetry: "telemetry.istio.io/v1",
  WasmPlugin: "extensions.istio.io/v1alpha1",
};

const ISTIO_VERSIONS: Readonly<Record<string, readonly string[]>> = {
  "security.istio.io": ["v1", "v1beta1"],
  "networking.istio.io": ["v1", "v1beta1", "v1alpha3"],
  "telemetry.istio.io": ["v1", "v1alpha1"],
  "extensions.istio.io": ["v1alpha1"],
};

const KUBERNETES_GROUPS: ReadonlySet<string> = new Set([
  "",
  "admissionregistration.k8s.io",
  "apiextensions.k8s.io",
  "apiregistration.k8s.io",
  "apps",
  "autoscaling",
  "batch",
  "certificates.k8s.io",
  "coordination.k8s.io",
  "discovery.k8s.io",
  "networking.k8s.io",
  "node.k8s.io",
  "policy",
  "rbac.authorization.k8s.io",
  "scheduling.k8s.io",
  "storage.k8s.io",
]);

/** Where the kinds that people write most live, to name the right one for a wrong `apiVersion` or a slip. */
export const COMMON_KINDS: Readonly<Record<string, string>> = {
  ...ISTIO_KINDS,
  TrafficExtension: "extensions.istio.io/v1alpha1",
  Namespace: "v1",
  Pod: "v1",
  Service: "v1",
  ServiceAccount: "v1",
  ConfigMap: "v1",
  Secret: "v1",
  Endpoints: "v1",
  Node: "v1",
  PersistentVolumeClaim: "v1",
  Deployment: "apps/v1",
  StatefulSet: "apps/v1",
  DaemonSet: "apps/v1",
  ReplicaSet: "apps/v1",
  Job: "batch/v1",
  CronJob: "batch/v1",
  EndpointSlice: "discovery.k8s.io/v1",
  Ingress: "networking.k8s.io/v1",
  NetworkPolicy: "networking.k8s.io/v1",
  AdminNetworkPolicy: "policy.networking.k8s.io/v1alpha1",
  BaselineAdminNetworkPolicy: "policy.networking.k8s.io/v1alpha1",
  AccessInvariant: "bulwark.dev/v1",
  Role: "rbac.authorization.k8s.io/v1",
  RoleBinding: "rbac.authorization.k8s.io/v1",
  ClusterRole: "rbac.authorization.k8s.io/v1",
  ClusterRoleBinding: "rbac.authorization.k8s.io/v1",
  PodDisruptionBudget: "policy/v1",
  HorizontalPodAutoscaler: "autoscaling/v2",
  CustomResourceDefinition: "apiextensions.k8s.io/v1",
};

const lookups = new Map<string, Promise<KindLookup>>();

/**
 * The validator of a kind, imported when the first object of the kind is met (a Deployment's takes 0.1 s). Kinds of
 * groups that nobody here knows are known without a validator: any cluster may have its own.
 */
export function lookUpKind(apiVersion: string, kind: string): Promise<KindLookup> {
  const key = `${apiVersion}/${kind}`;
  let lookup = lookups.get(key);
  if (lookup === undefined) {
    lookup = findKind(apiVersion, kind);
    lookups.set(key, lookup);
  }
  return lookup;
}

async function findKind(apiVersion: string, kind: string): Promise<KindLookup> {
  // Both end up in an import specifier.
  if (!/^[a-z0-9.-]+(\/[a-z0-9]+)?$/.test(apiVersion) || !/^[A-Z][A-Za-z0-9]*$/.test(kind))
    return { known: false };
  const group = apiGroup(apiVersion);
  if (group === "istio.io" || group.endsWith(".istio.io")) return findIstioKind(apiVersion, kind);
  if (KUBERNETES_GROUPS.has(group)) return importKind(`kubernetes-models/${apiVersion}/${kind}`, kind);
  if (group === "gateway.networking.k8s.io") {
    const found = await importKind(`@kubernetes-models/gateway-api/${apiVersion}/${kind}`, kind);
    return found.known ? found : { known: true };
  }
  if (isAdminPolicy(kind)) return { known: `${apiVersion}/${kind}` in POLICY_CRDS };
  // Lost, it would be believed to hold: nobody else has such a kind, and the group has no other.
  if (group === "bulwark.dev" || kind === "AccessInvariant")
    return { known: `${apiVersion}/${kind}` in BULWARK_KINDS };
  return isSlipOfIstio(group, kind) ? { known: false } : { known: true };
}

/** In another version or group nobody would enforce it: what it denies would be open. */
function isAdminPolicy(kind: string): boolean {
  return kind === "AdminNetworkPolicy" || kind === "BaselineAdminNetworkPolicy";
}

/** Lost, these would open what they close. */
const SECURITY_KINDS: ReadonlySet<string> = new Set([
  "AuthorizationPolicy",
  "PeerAuthentication",
  "RequestAuthentication",
]);

/** Other products have kinds of the same names: the group must look like Istio's, for kinds that decide access even remotely. */
function isSlipOfIstio(group: string, kind: string): boolean {
  if (!Object.hasOwn(ISTIO_KINDS, kind)) return false;
  const isNear = SECURITY_KINDS.has(kind) && didYouMean(group, Object.keys(ISTIO_VERSIONS)) !== undefined;
  return isNear || group.includes("istio");
}

async function findIstioKind(apiVersion: string, kind: string): Promise<KindLookup> {
  if (`${apiVersion}/${kind}` in NEWER_KINDS) return { known: true };
  const group = apiGroup(apiVersion);
  const made = Object.hasOwn(ISTIO_KINDS, kind) ? ISTIO_KINDS[kind] : undefined;
  const version = apiVersion.slice(group.length + 1);
  if (made === undefined || apiGroup(made) !== group) return { known: false };
  if (ISTIO_VERSIONS[group]?.includes(version) !== true) return { known: false };
  const found = await importKind(`@kubernetes-models/istio/${made}/${kind}`, kind);
  if (!found.known || found.validate === undefined) return found;
  const { validate } = found;
  if (made === apiVersion) return found;
  return { known: true, validate: (value) => validate(withVersion(value, made)) };
}

function withVersion(value: unknown, apiVersion: string): unknown {
  return new Proxy(value as object, {
    get: (target, key) => {
      // Read in any case: what a validator asks for is how the known fields are learnt.
      const written: unknown = Reflect.get(target, key);
      return key === "apiVersion" ? apiVersion : written;
    },
  });
}

async function importKind(specifier: string, kind: string): Promise<KindLookup> {
  try {
    const module = (await import(specifier)) as Record<string, unknown>;
    const validate = validatorOf(module[kind]);
    return validate === undefined ? { known: false } : { known: true, validate };
  } catch {
    return { known: false };
  }
}

function validatorOf(model: unknown): GeneratedValidator | undefined {
  if (typeof model !== "function" || !("kind" in model)) return undefined;
  const validate: unknown = (model.prototype as Record<string, unknown>).validate;
  if (typeof validate !== "function") return undefined;
  return (value) => void validate.call(value);
}
