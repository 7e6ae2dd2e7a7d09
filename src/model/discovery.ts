/**
 * `meshConfig.discoverySelectors`: which namespaces istiod looks at.
 * Source: istio/istio, pkg/kube/namespace/filter.go, pkg/config/mesh/labelselector/labelselector.go.
 */
import type { Resource } from "../resources/resource.ts";
import { apiGroup } from "../resources/scope.ts";
import type { Labels, Namespace } from "./mesh.ts";

type Json = Readonly<Record<string, unknown>>;

/**
 * Namespaces that no selector matches. Neither the root namespace nor the control plane's is an exception: Istio has none.
 * @param selectors as MeshConfig has them. Empty: every namespace is looked at; so, as in Istio, where one of them is invalid.
 */
export function undiscoveredNamespaces(
  selectors: readonly unknown[],
  namespaces: ReadonlyMap<string, Namespace>,
): ReadonlySet<string> {
  const all = selectors.map(record);
  if (all.length === 0 || all.some((selector) => expressionsOf(selector).some(isInvalid))) return new Set();
  const left = [...namespaces.values()].filter(
    ({ labels }) => !all.some((selector) => selects(selector, labels)),
  );
  return new Set(left.map(({ name }) => name));
}

/** What istiod reads of a namespace; pods and what makes them are there whether it looks or not. */
export function isReadByIstiod({ apiVersion, kind, namespace }: Resource): boolean {
  if (namespace === "") return false;
  const group = apiGroup(apiVersion);
  if (group.endsWith("istio.io") || group === "gateway.networking.k8s.io") return true;
  return (
    (group === "" && (kind === "Service" || kind === "Secret" || kind === "Endpoints")) ||
    group === "discovery.k8s.io" ||
    (group === "networking.k8s.io" && kind === "Ingress")
  );
}

/** All its labels and all its expressions; a selector with neither matches everything. */
function selects(selector: Json, labels: Labels): boolean {
  return (
    Object.entries(record(selector.matchLabels)).every(([key, value]) => labels[key] === String(value)) &&
    expressionsOf(selector).every((expression) => expressionHolds(expression, labels))
  );
}

const OPERATORS: ReadonlySet<unknown> = new Set(["In", "NotIn", "Exists", "DoesNotExist"]);

/** Values belong to `In` and `NotIn`, and to these alone. */
function isInvalid({ key, operator, values }: Json): boolean {
  const count = Array.isArray(values) ? values.length : 0;
  const takesValues = operator === "In" || operator === "NotIn";
  return typeof key !== "string" || key === "" || !OPERATORS.has(operator) || takesValues !== count > 0;
}

function expressionHolds({ key, operator, values }: Json, labels: Labels): boolean {
  const own = labels[String(key)];
  const named = Array.isArray(values) && values.some((value) => String(value) === own);
  switch (operator) {
    case "In":
      return own !== undefined && named;
    case "NotIn":
      return own === undefined || !named;
    case "Exists":
      return own !== undefined;
    default:
      return own === undefined;
  }
}

function expressionsOf({ matchExpressions }: Json): readonly Json[] {
  return Array.isArray(matchExpressions) ? matchExpressions.map(record) : [];
}

function record(value: unknown): Json {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Json) : {};
}
