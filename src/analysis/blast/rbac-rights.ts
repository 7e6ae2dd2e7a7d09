/** What rules of RBAC come to for an attacker: which rows of the table of rights an account's grants meet, and where. */
import type { Grant } from "./rbac.ts";
import { type Need, RIGHTS, type RightKind, type RightRow } from "./rights-table.ts";

export type { RightKind } from "./rights-table.ts";

/** Where a right holds. `names` empty: every object. */
export interface Scope {
  /** Null: the whole cluster. */
  readonly namespace: string | null;
  readonly names: readonly string[];
}

export interface Right {
  readonly kind: RightKind;
  readonly scope: Scope;
  /** The rules that give it together; the first is the one to take away. */
  readonly grants: readonly [Grant, ...Grant[]];
  /** For a person: `create pods`. */
  readonly text: string;
  /** Verbs and resources that the first of the grants is needed for. */
  readonly verbs: readonly string[];
  readonly resources: readonly string[];
}

const KNOWN = new WeakMap<readonly Grant[], readonly Right[]>();

/** Each right once for each rule that gives it; equal lists of grants that are one object are read once. */
export function rightsOf(grants: readonly Grant[]): readonly Right[] {
  const known = KNOWN.get(grants);
  if (known !== undefined) return known;
  const made = RIGHTS.flatMap((own) => rightsByRow(own, grants));
  // Who is cluster-admin needs nothing else.
  const admin = made.find(({ kind, scope }) => kind === "cluster-admin" && scope.namespace === null);
  const rights = admin === undefined ? made : [admin];
  KNOWN.set(grants, rights);
  return rights;
}

function rightsByRow({ kind, needs, text }: RightRow, grants: readonly Grant[]): readonly Right[] {
  const [first, ...others] = needs;
  if (first === undefined) return [];
  const { verbs, resources } = first;
  return grants
    .filter((grant) => meets(grant, first))
    .flatMap((grant) =>
      together(grant, others, grants).map(
        ({ namespace, found }): Right => ({
          kind,
          scope: { namespace, names: grant.resourceNames },
          grants: [grant, ...found],
          text,
          verbs,
          resources,
        }),
      ),
    );
}

interface Together {
  readonly namespace: string | null;
  readonly found: readonly Grant[];
}

/** Where the grant holds along with all others that are needed: as widely as it does itself, else in each namespace that they are had in. */
function together(grant: Grant, others: readonly Need[], grants: readonly Grant[]): readonly Together[] {
  const within = (namespace: string | null): readonly Together[] => {
    const found = others.map((need) =>
      grants.find(
        (other) => meets(other, need) && (other.namespace === null || other.namespace === namespace),
      ),
    );
    const all = found.filter((other) => other !== undefined);
    return all.length < found.length ? [] : [{ namespace, found: all }];
  };
  const wide = within(grant.namespace);
  if (wide.length > 0 || grant.namespace !== null) return wide;
  const namespaces = new Set(
    grants.flatMap((other) =>
      other.namespace !== null && others.some((need) => meets(other, need)) ? [other.namespace] : [],
    ),
  );
  return [...namespaces].flatMap(within);
}

/** Whether one rule gives one of the verbs on one of the resources. */
function meets(grant: Grant, { verbs, group, resources, clusterOnly }: Need): boolean {
  if (clusterOnly === true && grant.namespace !== null) return false;
  if (group === "*") return all(grant.verbs) && all(grant.apiGroups) && all(grant.resources);
  return (
    (all(grant.apiGroups) || grant.apiGroups.includes(group)) &&
    verbs.some(
      (verb) =>
        (all(grant.verbs) || grant.verbs.includes(verb)) &&
        resources.some(
          (wanted) => isUsable(verb, grant, wanted) && grant.resources.some((own) => covers(own, wanted)),
        ),
    )
  );
}

/** Names are not known yet when something is created: such a rule gives nothing (but for subresources of what is there). */
function isUsable(verb: string, { resourceNames }: Grant, wanted: string): boolean {
  return verb !== "create" || resourceNames.length === 0 || wanted.includes("/");
}

function all(list: readonly string[]): boolean {
  return list.includes("*");
}

/** Of a resource's subresources only one by name, of any resource: a star, a slash and its name; a star behind the slash means nothing to RBAC. */
function covers(own: string, wanted: string): boolean {
  if (own === "*" || own === wanted) return true;
  const [, subresource] = wanted.split("/");
  return subresource !== undefined && own === `*/${subresource}`;
}
