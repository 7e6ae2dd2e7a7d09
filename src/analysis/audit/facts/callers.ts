/** Whom a rule of an ALLOW policy leaves out. */
import type { RuleSpec, SourceSpec } from "../../../policy/authorization-spec.ts";
import { isIdentityKey } from "./plaintext-ports.ts";
import { isTokenKey } from "./token-demands.ts";

/**
 * `anybody`: nobody is left out, not even callers without a certificate. `mesh`: whoever has a certificate of the mesh is in.
 * `some`: others.
 */
export type Callers = "anybody" | "mesh" | "some";

/** The widest of the rule's sources. @param trustDomains the mesh's own and its aliases */
export function callersOf({ from = [], when = [] }: RuleSpec, trustDomains: readonly string[]): Callers {
  if (when.some(({ key }) => isAboutCallers(key))) return "some";
  if (from.length === 0) return "anybody";
  const all = from.map(({ source = {} }) => callersOfSource(source, trustDomains));
  return all.includes("anybody") ? "anybody" : all.includes("mesh") ? "mesh" : "some";
}

function isAboutCallers(key: string): boolean {
  return (
    isIdentityKey(key) ||
    isTokenKey(key) ||
    key === "source.ip" ||
    key === "remote.ip" ||
    key.startsWith("request.headers")
  );
}

function callersOfSource(source: SourceSpec, trustDomains: readonly string[]): Callers {
  const fields = Object.entries(source).filter(([, values]) => (values as readonly string[]).length > 0);
  if (fields.length === 0) return "anybody";
  const isEverybody = ([field, values]: [string, readonly string[]]): boolean => {
    if (field === "principals")
      return values.some(
        (value) =>
          value === "*" ||
          [...trustDomains, "cluster.local"].some((own) => value === `${own}/*` || value === `${own}/ns/*`),
      );
    if (field === "namespaces") return values.includes("*");
    return (
      field === "trustDomains" &&
      values.some((value) => value === "*" || value === "cluster.local" || trustDomains.includes(value))
    );
  };
  return fields.every((field) => isEverybody(field as [string, readonly string[]])) ? "mesh" : "some";
}

/** Whether the rule leaves open what is asked for, but for methods and ports. */
export function isForAllPaths({ to = [], when = [] }: RuleSpec): boolean {
  if (when.some(({ key }) => key.startsWith("request.headers") || key === "connection.sni")) return false;
  if (to.length === 0) return true;
  return to.some(({ operation = {} }) => {
    const { paths = [], hosts = [] } = operation;
    return (paths.length === 0 || paths.some((path) => path === "*" || path === "/*")) && hosts.length === 0;
  });
}
