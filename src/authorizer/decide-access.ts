/** The decision of the built-in authorizer. Pure: rules, context, request and clock in, answer out. */
import type {
  AccessRule,
  AccessRules,
  Condition,
  Context,
  ContextValue,
  KeySource,
  ValuePath,
} from "./access-rules.ts";
import { isWithin } from "./time-window.ts";

/** What is asked about, whichever protocol asked. */
export interface AccessFacts {
  /** Without `spiffe://`; empty for none. HTTP says nothing of this, nor of the next two. */
  readonly principal: string;
  /** Empty where it is not known. */
  readonly ip: string;
  /** 0 where it is not known. */
  readonly destinationPort: number;
  /** Empty on TCP, like the next two. */
  readonly method: string;
  /** Without the query. */
  readonly path: string;
  readonly host: string;
  /** Lower-case names. */
  readonly headers: ReadonlyMap<string, string>;
}

export interface AccessDecision {
  readonly allowed: boolean;
  /** Null where no rule matched: then it is denied. */
  readonly rule: AccessRule | null;
  /** Key of each subject that the request names, for the log. */
  readonly subjects: Readonly<Record<string, string>>;
  readonly setHeaders: readonly (readonly [name: string, value: string])[];
  readonly removeHeaders: readonly string[];
}

export function decideAccess(
  rules: AccessRules,
  context: Context,
  facts: AccessFacts,
  nowMs: number,
): AccessDecision {
  const scope = new Scope(rules, context, facts);
  const rule = rules.rules.find(({ conditions }) =>
    conditions.every((condition) => holds(condition, scope, nowMs)),
  );
  const headers = rules.setHeaders.map(([name, path]) => [name, headerText(scope.read(path))] as const);
  return {
    allowed: rule?.effect === "allow",
    rule: rule ?? null,
    subjects: scope.keys,
    setHeaders: headers.flatMap(([name, value]) => (value === undefined ? [] : [[name, value] as const])),
    removeHeaders: headers.flatMap(([name, value]) => (value === undefined ? [name] : [])),
  };
}

/** Values by their paths, for one request. */
class Scope {
  readonly keys: Record<string, string> = {};
  readonly #entries = new Map<string, ContextValue>();
  readonly #facts: AccessFacts;

  constructor({ subjects }: AccessRules, context: Context, facts: AccessFacts) {
    this.#facts = facts;
    for (const { name, table, key } of subjects) {
      const id = keyOf(key, facts);
      if (id === undefined) continue;
      this.keys[name] = id;
      const entry = own(context[table], id);
      if (entry !== undefined) this.#entries.set(name, entry);
    }
  }

  /** Undefined for what is not there. */
  read({ root, fields }: ValuePath): ContextValue | undefined {
    const [first = ""] = fields;
    if (root === "request") return this.#request(fields);
    if (root === "source") return nonEmpty(first === "principal" ? this.#facts.principal : this.#facts.ip);
    if (root === "destination")
      return this.#facts.destinationPort === 0 ? undefined : this.#facts.destinationPort;
    if (first === "id" && fields.length === 1) return this.keys[root];
    let value: ContextValue | undefined = this.#entries.get(root);
    for (const field of fields) value = own(value, field);
    return value;
  }

  #request([field = "", header = ""]: readonly string[]): ContextValue | undefined {
    const { method, path, host, headers } = this.#facts;
    if (field === "headers") return headers.get(header);
    return nonEmpty({ method, path, host }[field] ?? "");
  }
}

function keyOf(source: KeySource, { principal, ip, headers }: AccessFacts): string | undefined {
  if (source.kind === "header") return nonEmpty(headers.get(source.header) ?? "");
  return nonEmpty(source.kind === "principal" ? principal : ip);
}

function nonEmpty(text: string): string | undefined {
  return text === "" ? undefined : text;
}

/** A field of a map's own: names come from requests, and `__proto__` is one. */
function own(value: ContextValue | undefined, field: string): ContextValue | undefined {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return undefined;
  return Object.hasOwn(value, field) ? (value as Readonly<Record<string, ContextValue>>)[field] : undefined;
}

function holds(condition: Condition, scope: Scope, nowMs: number): boolean {
  if (condition.kind === "time") return isWithin(condition.window, nowMs);
  const value = scope.read(condition.value);
  if (value === undefined || value === null) return false;
  switch (condition.kind) {
    case "is":
      return condition.expected.includes(value);
    case "isNot":
      return typeof value !== "object" && !condition.expected.includes(value);
    case "below":
      return typeof value === "number" && value < condition.limit;
    case "above":
      return typeof value === "number" && value > condition.limit;
    case "contains":
      return Array.isArray(value) && condition.expected.some((entry) => value.includes(entry));
    case "matches":
      return typeof value === "string" && condition.patterns.some((pattern) => matches(pattern, value));
  }
}

/** As Istio's strings: exact, `prefix*`, `*suffix`, `*`. */
function matches(pattern: string, text: string): boolean {
  if (pattern.startsWith("*")) return text.endsWith(pattern.slice(1));
  return pattern.endsWith("*") ? text.startsWith(pattern.slice(0, -1)) : text === pattern;
}

/** Only plain values that a header can hold. */
function headerText(value: ContextValue | undefined): string | undefined {
  if (value === undefined || value === null || typeof value === "object") return undefined;
  const text = String(value);
  return /^[!-~](?:[ -~]*[!-~])?$/.test(text) ? text : undefined;
}
