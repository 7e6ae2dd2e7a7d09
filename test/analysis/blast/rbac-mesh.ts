/** A small mesh, and what an account of it holds by some rules of RBAC. */
import { GainGraph } from "../../../src/analysis/blast/gains.ts";
import { HoldingsIndex } from "../../../src/analysis/blast/holdings.ts";
import { buildMesh } from "../../../src/model/build-mesh.ts";
import type { Resource } from "../../../src/resources/resource.ts";
import { resourceFromJson } from "../../../src/resources/wire.ts";

export type Json = Readonly<Record<string, unknown>>;

export function object(
  apiVersion: string,
  kind: string,
  namespace: string,
  name: string,
  rest: Json = {},
): Resource {
  const { labels, ...body } = rest;
  const metadata = {
    name,
    ...(namespace === "" ? {} : { namespace }),
    ...(labels === undefined ? {} : { labels }),
  };
  return resourceFromJson({ apiVersion, kind, metadata, ...body }, { file: "test", createdAt: 0 });
}

export const RBAC = "rbac.authorization.k8s.io/v1";
export const RULE = (
  verbs: readonly string[],
  apiGroup: string,
  resources: readonly string[],
  resourceNames?: readonly string[],
) => ({
  verbs,
  apiGroups: [apiGroup],
  resources,
  ...(resourceNames === undefined ? {} : { resourceNames }),
});

export const pod = (namespace: string, name: string, spec: Json = {}): Resource =>
  object("v1", "Pod", namespace, name, {
    labels: { app: name },
    spec: { serviceAccountName: name, containers: [{ name: "c", image: "i" }], ...spec },
  });
export const namespaceOf = (name: string, level?: string): Resource =>
  object("v1", "Namespace", "", name, {
    labels: {
      "istio-injection": "enabled",
      ...(level === undefined ? {} : { "pod-security.kubernetes.io/enforce": level }),
    },
  });

export const BASE: readonly Resource[] = [
  namespaceOf("a", "baseline"),
  namespaceOf("b"),
  pod("a", "app"),
  pod("a", "other"),
  pod("b", "far"),
  object("v1", "Secret", "a", "database", { type: "Opaque" }),
  object("v1", "Secret", "a", "old-token", { type: "kubernetes.io/service-account-token" }),
  object("v1", "Node", "", "n1"),
];

/** What the account a/app has, by rules in a Role of namespace a, or in a ClusterRole everywhere. */
export function held(
  rules: readonly Json[],
  where: "role" | "cluster" = "role",
  more: readonly Resource[] = [],
): ReadonlySet<string> {
  const subjects = [{ kind: "ServiceAccount", namespace: "a", name: "app" }];
  const isRole = where === "role";
  const [kind, namespace] = isRole ? ["Role", "a"] : ["ClusterRole", ""];
  return heldBy([
    object(RBAC, kind, namespace, "own", { rules }),
    object(RBAC, `${kind}Binding`, namespace, "own", { subjects, roleRef: { kind, name: "own" } }),
    ...more,
  ]);
}

export function heldBy(resources: readonly Resource[], account = "a/app"): ReadonlySet<string> {
  const index = new HoldingsIndex(new GainGraph(buildMesh([...BASE, ...resources])));
  return new Set(index.of(`account/${account}`).yields.map(({ id }) => id));
}

export const KEY = (namespace: string, name: string): string =>
  `key/cluster.local/ns/${namespace}/sa/${name}`;
