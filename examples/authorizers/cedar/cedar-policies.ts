import * as cedar from "@cedar-policy/cedar-wasm/nodejs";

export interface Question {
  /** `spiffe://cluster.local/ns/partners/sa/acme`; empty for a caller without a certificate. */
  readonly principal: string;
  readonly method: string;
  /** With its query. */
  readonly path: string;
}

export type Verdict =
  | { readonly allowed: true; readonly customer: string }
  | { readonly allowed: false; readonly status: number; readonly reason: string };

interface Entity {
  readonly uid: { readonly type: string; readonly id: string };
  readonly attrs: Readonly<Record<string, string>>;
  readonly parents: readonly { readonly type: string; readonly id: string }[];
}

const REFUSED: Verdict = { allowed: false, status: 403, reason: "no policy lets you do this" };
const SET = "orders";

/** Cedar policies about who may see which orders, parsed once. */
export class CedarPolicies {
  readonly #entities: readonly Entity[];
  /** What the policies' annotations say, by their ids. */
  readonly #told = new Map<string, { readonly status: number; readonly reason: string }>();

  /** @throws where Cedar refuses the policies. */
  constructor(policies: string, entities: string) {
    this.#entities = JSON.parse(entities) as Entity[];
    const parts = cedar.policySetTextToParts(policies);
    if (parts.type === "failure") throw new Error(JSON.stringify(parts.errors));
    const staticPolicies = Object.fromEntries(parts.policies.map((text, at) => [`policy${at}`, text]));
    const parsed = cedar.preparsePolicySet(SET, { staticPolicies });
    if (parsed.type === "failure") throw new Error(JSON.stringify(parsed.errors));
    for (const [id, text] of Object.entries(staticPolicies)) this.#note(id, text);
  }

  #note(id: string, text: string): void {
    const read = cedar.policyToJson(text);
    const { reason, status } = (read.type === "success" && read.json.annotations) || {};
    if (reason !== undefined && reason !== null) this.#told.set(id, { status: Number(status ?? 403), reason });
  }

  /** @throws where a policy cannot be evaluated: Cedar would leave it out, a forbid too. */
  decide({ principal, method, path }: Question): Verdict {
    const account = accountOf(principal);
    const segments = segmentsOf(path);
    if (account === null || segments === null) return REFUSED;
    const answer = cedar.statefulIsAuthorized({
      principal: { type: "Account", id: account.id },
      action: { type: "Action", id: method },
      resource: { type: "Path", id: segments.join("/") },
      context: {},
      preparsedPolicySetId: SET,
      entities: [this.#accountEntity(account), pathEntity(segments)] as never,
    });
    if (answer.type === "failure" || answer.response.diagnostics.errors.length > 0)
      throw new Error("Cedar could not evaluate the policies");
    const { decision, diagnostics } = answer.response;
    if (decision === "allow")
      return { allowed: true, customer: account.namespace === "partners" ? account.name : "*" };
    const told = diagnostics.reason.map((id) => this.#told.get(id)).find((found) => found !== undefined);
    return told === undefined ? REFUSED : { allowed: false, ...told };
  }

  /** What the mesh knows of the caller, and what entities.json does. */
  #accountEntity({ id, namespace, name }: Account): Entity {
    const known = this.#entities.find(({ uid }) => uid.type === "Account" && uid.id === id);
    return {
      uid: { type: "Account", id },
      attrs: { ...known?.attrs, namespace, name },
      parents: [{ type: "Namespace", id: namespace }, ...(known?.parents ?? [])],
    };
  }
}

interface Account {
  /** `partners/acme` */
  readonly id: string;
  readonly namespace: string;
  readonly name: string;
}

function accountOf(principal: string): Account | null {
  const [, namespace, name] = /^spiffe:\/\/[^/]+\/ns\/([^/]+)\/sa\/([^/]+)$/.exec(principal) ?? [];
  return namespace === undefined || name === undefined ? null : { id: `${namespace}/${name}`, namespace, name };
}

/** Null for what cannot be read. The mesh has resolved `..` and decoded slashes (pathNormalization). */
function segmentsOf(path: string): readonly string[] | null {
  try {
    return (path.split("?", 1)[0] ?? "").slice(1).split("/").map(decodeURIComponent);
  } catch {
    return null;
  }
}

/** `/orders/acme/7` is a path in collection `orders` of the owner `acme`. */
function pathEntity(segments: readonly string[]): Entity {
  const [collection = "", owner] = segments;
  return {
    uid: { type: "Path", id: segments.join("/") },
    attrs: owner === undefined ? {} : { owner },
    parents: [{ type: "Collection", id: collection }],
  };
}
