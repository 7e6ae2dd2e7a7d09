/** Invariants that most meshes want, so that nobody has to write them: a few lines each over the same engine. */
import type { Mesh, Workload } from "../../model/mesh.ts";
import type { Resource } from "../../resources/resource.ts";
import type { Invariant } from "./invariant.ts";

export interface BuiltIn {
  readonly name: string;
  readonly summary: string;
  readonly invariants: (mesh: Mesh) => readonly Invariant[];
}

/** Its namespaces let in who is in the same, and in those that the annotation lists. */
const SENSITIVE_LABEL = "bulwark.dev/sensitive";
const CALLERS_ANNOTATION = "bulwark.dev/allow-from-namespaces";

/** Gateways and waypoints are there to be reached from outside. */
function isApplication({ role }: Workload): boolean {
  return role === "application";
}

function forAll(mesh: Mesh, name: string, rules: Invariant["rules"]): readonly Invariant[] {
  const { rootNamespace } = mesh.config;
  return [
    { name: `built-in ${name}`, claim: "never", rules, namespace: rootNamespace, selects: isApplication },
  ];
}

export const BUILT_INS: readonly BuiltIn[] = [
  {
    name: "no-plaintext",
    summary: "nothing without an identity reaches a workload",
    invariants: (mesh) => forAll(mesh, "no-plaintext", [{ from: [{ source: { notPrincipals: ["*"] } }] }]),
  },
  {
    name: "no-anonymous",
    summary: "nothing with neither an identity nor a token reaches a workload",
    invariants: (mesh) =>
      forAll(mesh, "no-anonymous", [
        { from: [{ source: { notPrincipals: ["*"], notRequestPrincipals: ["*"] } }] },
      ]),
  },
  {
    name: "no-foreign-identities",
    summary: "no identity of another trust domain reaches a workload",
    invariants: (mesh) => {
      const { trustDomain, trustDomainAliases } = mesh.config;
      const notTrustDomains = [trustDomain, ...trustDomainAliases];
      return forAll(mesh, "no-foreign-identities", [
        { from: [{ source: { principals: ["*"], notTrustDomains } }] },
      ]);
    },
  },
  {
    name: "sensitive",
    summary: `workloads of namespaces labelled ${SENSITIVE_LABEL}=true are reached from their own namespace, and those in ${CALLERS_ANNOTATION}, alone`,
    invariants: (mesh) =>
      [...mesh.namespaces.values()]
        .filter(({ labels }) => labels[SENSITIVE_LABEL] === "true")
        .map(({ name }) => sensitive(mesh, name)),
  },
];

function sensitive(mesh: Mesh, namespace: string): Invariant {
  const resource = mesh.resources.find(
    ({ apiVersion, kind, name }) => apiVersion === "v1" && kind === "Namespace" && name === namespace,
  );
  const namespaces = [namespace, ...listedCallers(resource)];
  return {
    name: `built-in sensitive (${namespace})`,
    claim: "only",
    rules: [{ from: [{ source: { namespaces } }] }],
    namespace,
    selects: (workload) => isApplication(workload) && workload.namespace === namespace,
    scope: { namespace },
    ...(resource === undefined ? {} : { span: resource.locate(["metadata", "labels", SENSITIVE_LABEL]) }),
  };
}

/** Names alone: a star there would be a hole that nobody sees. */
function listedCallers(resource: Resource | undefined): readonly string[] {
  const listed = resource?.annotations[CALLERS_ANNOTATION] ?? "";
  return listed
    .split(",")
    .map((name) => name.trim())
    .filter((name) => /^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/.test(name));
}
