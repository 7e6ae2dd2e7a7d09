/** AuthorizationPolicies as they are written: under names that are free, with what people said of them. */
import type { Labels, Mesh } from "../../model/mesh.ts";
import { isDryRun } from "../../policy/authorization.ts";
import type { AuthorizationSpec, RuleSpec } from "../../policy/authorization-spec.ts";
import type { Resource } from "../../resources/resource.ts";
import { type Manifest, TIGHTENED } from "./manifest.ts";

/** By which an AuthorizationPolicy says what it is for. */
export interface TargetRef {
  readonly group?: string;
  readonly kind?: string;
  readonly name?: string;
  readonly namespace?: string;
}

export type Policy = Resource<
  AuthorizationSpec & {
    readonly selector?: { readonly matchLabels?: Labels };
    readonly targetRef?: TargetRef;
    readonly targetRefs?: readonly TargetRef[];
  }
>;

export function isEnforcedAllow(policy: Policy): boolean {
  return (policy.spec?.action ?? "ALLOW") === "ALLOW" && !isDryRun(policy);
}

/** What it is for by name; none: by its selector. */
export function targetRefsOf({ spec }: Policy): readonly TargetRef[] {
  const { targetRef, targetRefs = [] } = spec ?? {};
  return targetRefs.length === 0 && targetRef !== undefined ? [targetRef] : targetRefs;
}

/** An account without a namespace is one of the policy's own. */
export function qualified(rule: RuleSpec, namespace: string): RuleSpec {
  const full = (names: readonly string[] | undefined): readonly string[] | undefined =>
    names?.map((name) => (name.includes("/") ? name : `${namespace}/${name}`));
  const lists = (names: { readonly [name: string]: readonly string[] | undefined }): object =>
    Object.fromEntries(
      Object.entries(names).flatMap(([name, list]) => (list === undefined ? [] : [[name, full(list)]])),
    );
  return {
    ...rule,
    ...(rule.from === undefined
      ? {}
      : {
          from: rule.from.map(({ source = {} }) => {
            const { serviceAccounts, notServiceAccounts, ...others } = source;
            return { source: { ...others, ...lists({ serviceAccounts, notServiceAccounts }) } };
          }),
        }),
    ...(rule.when === undefined
      ? {}
      : {
          when: rule.when.map((when) =>
            when.key === "source.serviceAccount"
              ? { key: when.key, ...lists({ values: when.values, notValues: when.notValues }) }
              : when,
          ),
        }),
  };
}

export function policyManifest(
  name: string,
  namespace: string,
  why: string,
  spec: object,
  before?: Policy,
): Manifest {
  const labels = before?.labels ?? {};
  return {
    apiVersion: "security.istio.io/v1",
    kind: "AuthorizationPolicy",
    metadata: {
      name,
      namespace,
      ...(Object.keys(labels).length === 0 ? {} : { labels }),
      annotations: { ...withoutApplied(before?.annotations ?? {}), [TIGHTENED]: why },
    },
    spec,
  };
}

export function manifestOf({ apiVersion, kind, name, namespace, spec }: Policy): Manifest {
  return { apiVersion, kind, metadata: { name, namespace }, spec };
}

/** What kubectl keeps of the last apply is the old rules. */
export function withoutApplied(
  annotations: Readonly<Record<string, string>>,
): Readonly<Record<string, string>> {
  const { "kubectl.kubernetes.io/last-applied-configuration": _applied, ...others } = annotations;
  return others;
}

/** Names of policies that are not taken. */
export class PolicyNames {
  readonly #taken: Set<string>;

  constructor({ authorizationPolicies }: Mesh) {
    this.#taken = new Set(authorizationPolicies.map(({ namespace, name }) => `${namespace}/${name}`));
  }

  free(namespace: string, wanted: string): string {
    const base = wanted.slice(0, 240).replace(/[^a-z0-9.-]/g, "-");
    for (let at = 1; ; at++) {
      const name = at === 1 ? base : `${base}-${at}`;
      if (this.#taken.has(`${namespace}/${name}`)) continue;
      this.#taken.add(`${namespace}/${name}`);
      return name;
    }
  }
}
