/** Random policies as a mesh would take them. */
import type { AuthorizationSpec } from "../../../src/policy/authorization-spec.ts";
import { loadTexts } from "../../../src/resources/load.ts";
import type { Resource } from "../../../src/resources/resource.ts";
import type { ArbitraryPolicy } from "../../policy/arbitrary-authorization.ts";

/** Without what names nothing, which no mesh would take. */
function written({ action, rules = [] }: AuthorizationSpec): AuthorizationSpec {
  const isSaying = (value: object | undefined): boolean => Object.keys(value ?? {}).length > 0;
  return {
    ...(action === undefined ? {} : { action }),
    rules: rules.map(({ from = [], to = [], when = [] }) => {
      const parts = {
        from: from.filter(({ source }) => isSaying(source)),
        to: to.filter(({ operation }) => isSaying(operation)),
        when: when.filter(({ values, notValues }) => values !== undefined || notValues !== undefined),
      };
      return Object.fromEntries(Object.entries(parts).filter(([, list]) => list.length > 0));
    }),
  };
}

function textOf(
  name: string,
  namespace: string,
  spec: object,
): { readonly file: string; readonly text: string } {
  const metadata = { name, namespace };
  const apiVersion = "security.istio.io/v1";
  return { file: name, text: JSON.stringify({ apiVersion, kind: "AuthorizationPolicy", metadata, spec }) };
}

/**
 * Rules that validation refuses are left out: no mesh has them.
 * @param targets what the policies are for, in turn: `selector` or `targetRefs`.
 */
export async function validPolicies(
  policies: readonly ArbitraryPolicy[],
  targets: readonly object[],
): Promise<readonly Resource[]> {
  const texts = await Promise.all(
    policies.map(async ({ name, namespace, spec }, at) => {
      const { rules = [], ...others } = written(spec);
      const alone = rules.map((rule, index) => textOf(`r${index}`, namespace, { ...others, rules: [rule] }));
      const valid = new Set((await loadTexts(alone)).resources.map((own) => own.name));
      const kept = rules.filter((_, index) => valid.has(`r${index}`));
      return kept.length === 0
        ? []
        : [textOf(name, namespace, { ...others, ...targets[at % targets.length], rules: kept })];
    }),
  );
  return (await loadTexts(texts.flat())).resources;
}
