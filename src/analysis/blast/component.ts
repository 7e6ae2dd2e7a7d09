/** What can be compromised, and what that may yield: one name for each, as `--compromise` takes it and reports print it. */
import type { Mesh, Workload } from "../../model/mesh.ts";
import { parseSpiffeId } from "../../model/spiffe-id.ts";
import { asWaypoint } from "../../policy/waypoint/waypoints.ts";
import { suggestion } from "../../resources/did-you-mean.ts";

/**
 * `kind/rest`, or `istiod`, `apiserver`, `ca`. Components: workload, sidecar, waypoint, gateway (`ns/name`), node, ztunnel, cni (a node's
 * name), istiod, apiserver, key (`<trust domain>/ns/<ns>/sa/<sa>`), token (`ns/account`). What they yield besides: account, secret, secrets,
 * pods, kubelet, policies, proxies, network-policies, inside, proxied, labels, traffic, volumes, placement (each of a namespace, or `*`).
 */
export type HoldingId = string;

export const ISTIOD: HoldingId = "istiod";
export const API_SERVER: HoldingId = "apiserver";
/** The right to sign for any identity of the mesh. */
export const CA: HoldingId = "ca";
/** Rights of whoever shows the API server no token. */
export const NOBODYS_ACCOUNT: HoldingId = "account/system:anonymous";
/** A node that no file names. */
export const SOME_NODE: HoldingId = "node/?";
export const EVERY_NODE: HoldingId = "node/*";
/** In the place of a namespace: all of them. */
export const EVERYWHERE = "*";

export type ComponentKind =
  | "workload"
  | "sidecar"
  | "waypoint"
  | "gateway"
  | "node"
  | "ztunnel"
  | "cni"
  | "istiod"
  | "apiserver"
  | "key"
  | "token";

export function kindOf(id: HoldingId): string {
  const slash = id.indexOf("/");
  return slash < 0 ? id : id.slice(0, slash);
}

/** What stands behind the kind: `team-a/app-a`. */
export function restOf(id: HoldingId): string {
  return id.slice(id.indexOf("/") + 1);
}

/** `namespace` and `name` of a rest that has both. */
export function namesOf(id: HoldingId): readonly [namespace: string, name: string] {
  const [namespace = "", ...name] = restOf(id).split("/");
  return [namespace, name.join("/")];
}

/** Without `spiffe://`. */
export function principalOf({ spiffeId }: Workload): string {
  return spiffeId.slice("spiffe://".length);
}

export type WorkloadPart = "application" | "waypoint" | "gateway" | "istiod" | "ztunnel" | "cni";

/** What of the mesh a workload's pods are. The parts of Istio itself are known by the labels that its charts give them. */
export function partOf(mesh: Mesh, workload: Workload): WorkloadPart {
  if (asWaypoint(mesh, workload) !== undefined) return "waypoint";
  if (workload.role === "gateway") return "gateway";
  const { labels, name, namespace } = workload;
  if (labels.app === "istiod" || labels.istio === "pilot") return "istiod";
  const isRoot = namespace === mesh.config.rootNamespace || namespace === "kube-system";
  if (isRoot && (labels.app === "ztunnel" || name === "ztunnel")) return "ztunnel";
  if (isRoot && (labels["k8s-app"] === "istio-cni-node" || name === "istio-cni-node")) return "cni";
  return "application";
}

/** The component that a workload's compromise is; of ztunnel and the CNI agent there is one for each node instead. */
export function componentOf(part: WorkloadPart, { key }: Workload): HoldingId | undefined {
  if (part === "ztunnel" || part === "cni") return undefined;
  if (part === "istiod") return ISTIOD;
  return `${part === "application" ? "workload" : part}/${key}`;
}

const SHORT: ReadonlySet<string> = new Set([ISTIOD, API_SERVER]);

/** The name that the user wrote, as components have it. */
export function componentId(written: string): HoldingId {
  return written.replace(/^key\/spiffe:\/\//, "key/");
}

/**
 * Finds what the user named among the mesh's components; keys and tokens are whatever could be one, as a leaked one may be of anybody's.
 * @returns the name, or why there is none.
 */
export function findComponent(
  written: string,
  known: ReadonlySet<HoldingId>,
): { readonly id: HoldingId } | { readonly problem: string } {
  const id = componentId(written);
  if (known.has(id) || SHORT.has(id) || isKey(id) || isToken(id)) return { id };
  const shown = `\`${shortened(written)}\``;
  if (kindOf(id) === "key" || id.startsWith("spiffe://"))
    return { problem: `${shown} is no key: write key/<trust domain>/ns/<namespace>/sa/<account>` };
  if (kindOf(id) === "token") return { problem: `${shown} is no token: write token/<namespace>/<account>` };
  const meant = suggestion(id, [...known]);
  return {
    problem: `there is no component ${shown}${meant === "" ? "; without --compromise all are listed" : `: ${meant}`}`,
  };
}

/** Namespaces, and accounts: RFC 1123. */
const LABEL = /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/;
const SUBDOMAIN = /^(?=.{1,253}$)[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/;

function isKey(id: HoldingId): boolean {
  const parsed = kindOf(id) === "key" ? parseSpiffeId(`spiffe://${restOf(id)}`) : undefined;
  return isAccount(parsed?.namespace ?? "", parsed?.serviceAccount ?? "");
}

function isToken(id: HoldingId): boolean {
  return kindOf(id) === "token" && isAccount(...namesOf(id));
}

function isAccount(namespace: string, account: string): boolean {
  return LABEL.test(namespace) && SUBDOMAIN.test(account);
}

/** A token itself that somebody pastes is nothing to repeat. */
function shortened(written: string): string {
  return written.length > SHOWN ? `${written.slice(0, SHOWN / 4)}…` : written;
}

const SHOWN = 100;

/**
 * Secrets with the key of the mesh's CA, in a namespace of the control plane.
 * @see https://istio.io/latest/docs/tasks/security/cert-management/plugin-ca-cert/
 */
export const CA_SECRETS: ReadonlySet<string> = new Set(["cacerts", "istio-ca-secret"]);
