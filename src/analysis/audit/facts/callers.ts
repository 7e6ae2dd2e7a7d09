/** Whom a rule of an ALLOW policy leaves out. */
import type { RuleSpec, SourceSpec, WhenSpec } from "../../../policy/authorization-spec.ts";
import { isIdentityKey } from "./plaintext-ports.ts";
import { isTokenKey } from "./token-demands.ts";

/**
 * `anybody`: nobody is left out, not even callers without a certificate. `mesh`: whoever has a certificate of the mesh is in.
 * `some`: others.
 */
export type Callers = "anybody" | "mesh" | "some";

/** The widest of the rule's sources. @param trustDomains the mesh's own and its aliases */
export function callersOf({ from = [], when = [] }: RuleSpec, trustDomains: readonly string[]): Callers {
  const about = when.filter(({ key }) => isAboutCallers(key));
  const conditions = about.map((condition) => callersOfCondition(condition, trustDomains));
  const sources = from.map(({ source = {} }) => callersOfSource(source, trustDomains));
  return narrowest([...conditions, ...(sources.length === 0 ? [] : [widest(sources)])]);
}

function widest(all: readonly Callers[]): Callers {
  return WIDTHS.find((width) => all.includes(width)) ?? "some";
}

function narrowest(all: readonly Callers[]): Callers {
  return WIDTHS.findLast((width) => all.includes(width)) ?? "anybody";
}

const WIDTHS: readonly Callers[] = ["anybody", "mesh", "some"];

/** A condition that is a field of `source` under another name is as wide as that field. */
function callersOfCondition(
  { key, values = [], notValues = [] }: WhenSpec,
  trustDomains: readonly string[],
): Callers {
  const field = SOURCE_FIELDS[key];
  if (field === undefined || notValues.length > 0) return "some";
  return callersOfSource({ [field]: values }, trustDomains);
}

const SOURCE_FIELDS: Readonly<Record<string, keyof SourceSpec>> = {
  "source.principal": "principals",
  "source.namespace": "namespaces",
  "source.ip": "ipBlocks",
  "remote.ip": "remoteIpBlocks",
};

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
  const fields = Object.entries(source).filter(
    ([field, values]) =>
      (values as readonly string[]).length > 0 && !isEveryAddress(field, values as readonly string[]),
  );
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

/** All addresses of IPv4, or of IPv6: a pod is seldom seen by both. */
function isEveryAddress(field: string, blocks: readonly string[]): boolean {
  return (field === "ipBlocks" || field === "remoteIpBlocks") && blocks.some((block) => /\/0+$/.test(block));
}

/** Whether the rule leaves open what is asked for, but for methods and ports, and hosts: these the caller writes. */
export function isForAllPaths({ to = [], when = [] }: RuleSpec): boolean {
  if (when.some(({ key }) => key.startsWith("request.headers") || key === "connection.sni")) return false;
  if (to.length === 0) return true;
  return to.some(({ operation = {} }) => {
    const { paths = [], notPaths = [], notHosts = [] } = operation;
    const isOpen = paths.length === 0 || paths.some((path) => path === "*" || path === "/*");
    return isOpen && notPaths.length === 0 && notHosts.length === 0;
  });
}
