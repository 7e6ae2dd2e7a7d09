/** What EnvoyFilters do to the proxies' configuration, and where that depends on what others do. */
import type { FieldPath, Resource } from "../../../resources/resource.ts";
import type { AuditContext } from "../audit-context.ts";
import { type Fields, fieldsOf, itemsOf, textOf } from "./written.ts";

export interface EnvoyPatch {
  readonly resource: Resource;
  readonly path: FieldPath;
  readonly applyTo: string;
  readonly operation: string;
  readonly filter: string;
  /** Its place depends on other filters, and nothing says in which order EnvoyFilters are applied. */
  readonly isRelative: boolean;
  /** A patch before it, for proxies of one version, was for the same filter. */
  readonly isVersioned: boolean;
}

const WITHOUT_ORDER = new Set(["ROUTE_CONFIGURATION", "HTTP_ROUTE"]);
const REPLACEABLE = new Set(["NETWORK_FILTER", "HTTP_FILTER", "VIRTUAL_HOST"]);

export function envoyPatches(audit: AuditContext): readonly EnvoyPatch[] {
  const versioned = new Set<string>();
  return audit.every("networking.istio.io", "EnvoyFilter").flatMap((resource) => {
    const { configPatches, priority } = fieldsOf(resource.spec);
    const patches: EnvoyPatch[] = [];
    for (const [index, written] of itemsOf(configPatches)) {
      if (written.patch === undefined) break;
      const applyTo = textOf(written.applyTo);
      const operation = textOf(fieldsOf(written.patch).operation);
      const filter = filterOf(written);
      const isRelative = (priority ?? 0) === 0 && dependsOnOrder(operation, applyTo);
      const path = ["spec", "configPatches", index, "patch", "operation"];
      patches.push({
        resource,
        path,
        applyTo,
        operation,
        filter,
        isRelative,
        isVersioned: versioned.has(filter),
      });
      if (textOf(fieldsOf(fieldsOf(written.match).proxy).proxyVersion) !== "") versioned.add(filter);
    }
    return patches;
  });
}

function dependsOnOrder(operation: string, applyTo: string): boolean {
  if (operation === "INSERT_BEFORE" || operation === "INSERT_AFTER") return true;
  if (operation === "REMOVE") return !WITHOUT_ORDER.has(applyTo);
  return operation === "REPLACE" && REPLACEABLE.has(applyTo);
}

/** The filter that a patch brings, or else the one that it is beside. */
function filterOf({ patch, match }: Fields): string {
  const { value } = fieldsOf(patch);
  if (value === undefined || Object.keys(fieldsOf(value)).length === 0) return "";
  const named = textOf(fieldsOf(value).name);
  if (named !== "") return named;
  const { listener } = fieldsOf(match);
  return textOf(fieldsOf(fieldsOf(fieldsOf(listener).filterChain).filter).name);
}

/** Whether Istio leaves the operation out for what it applies to. */
export function isIgnored({ operation, applyTo }: EnvoyPatch, asked: "ADD" | "REMOVE" | "REPLACE"): boolean {
  if (operation !== asked) return false;
  return asked === "REPLACE" ? !REPLACEABLE.has(applyTo) : WITHOUT_ORDER.has(applyTo);
}
