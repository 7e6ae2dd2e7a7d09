/** Pods that no file has, where something changed that may bear on them: what that gives and takes is not told. */
import type { Labels, Mesh } from "../../model/mesh.ts";
import { mayHaveLabels, type UnreadPods, unreadPods } from "../../model/unread-pods.ts";
import { type Resource, resourceName } from "../../resources/resource.ts";
import { changedResources } from "./causes.ts";
import type { NotAnalysed } from "./diff-access.ts";

/** One for all of them. An object that makes pods and that changed itself is of a kind that is not compared, which is told besides. */
export function unreadMakers(before: Mesh, after: Mesh): readonly NotAnalysed[] {
  const makers = new Map(
    [...unreadPods(before.resources), ...unreadPods(after.resources)].map((own) => [own.name, own]),
  );
  if (makers.size === 0) return [];
  const isConfigured = JSON.stringify(before.config) !== JSON.stringify(after.config);
  const changed = changedOnes(before, after);
  const roots = [before, after].map(({ config }) => config.rootNamespace);
  const concerned = [...makers.values()].filter(
    (maker) => isConfigured || changed.some((own) => mayBearOn(own, maker, roots)),
  );
  return concerned.length === 0 ? [] : [{ workloads: concerned.map(({ name }) => name), why: WHY }];
}

const WHY =
  "the pods made from it are in no file: what the change lets in to them, or out of them, is not compared";

/** Both versions of what is changed. */
function changedOnes(before: Mesh, after: Mesh): readonly Resource[] {
  const [old, now] = [before, after].map(({ resources }) =>
    resources.filter(({ kind }) => BEARING.has(kind)),
  );
  if (old === undefined || now === undefined) return [];
  const names = new Set(changedResources(old, now).map(({ resource }) => resource));
  return [...old, ...now].filter((resource) => names.has(resourceName(resource)));
}

/** Kinds that are for pods by their namespace and labels. */
const BEARING: ReadonlySet<string> = new Set([
  "AuthorizationPolicy",
  "PeerAuthentication",
  "RequestAuthentication",
  "Sidecar",
  "VirtualService",
  "DestinationRule",
  "ServiceEntry",
  "NetworkPolicy",
  "AdminNetworkPolicy",
  "BaselineAdminNetworkPolicy",
  "Namespace",
]);

function mayBearOn(
  { kind, name, namespace, spec }: Resource,
  maker: UnreadPods,
  roots: readonly string[],
): boolean {
  if (kind === "Namespace") return name === maker.namespace;
  const isFor = namespace === "" || namespace === maker.namespace || roots.includes(namespace);
  return isFor && mayHaveLabels(maker, selectorOf(spec));
}

/** Of kinds that select by equal labels; others may be for all. */
function selectorOf(spec: unknown): Labels {
  const { selector, workloadSelector } = (spec ?? {}) as {
    readonly selector?: { readonly matchLabels?: Labels };
    readonly workloadSelector?: { readonly labels?: Labels };
  };
  return selector?.matchLabels ?? workloadSelector?.labels ?? {};
}
