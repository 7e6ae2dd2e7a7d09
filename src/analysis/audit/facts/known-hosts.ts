/** Hosts that rules of a namespace can name: Services, and hosts of ServiceEntries, by who sees them. As `istioctl` looks them up. */
import type { Labels } from "../../../model/mesh.ts";
import type { AuditContext } from "../audit-context.ts";
import { fieldsOf, itemsOf, labelsOf, numberOf, textsOf } from "./written.ts";

export interface KnownHost {
  readonly host: string;
  readonly ports: readonly number[];
  /** Of a ServiceEntry with a `workloadSelector`. */
  readonly selector: Labels;
}

interface HostTable {
  /** By `scope/host`; the scope is a namespace, or `*`. */
  readonly exact: ReadonlyMap<string, KnownHost>;
  readonly wildcards: readonly (KnownHost & { readonly scope: string })[];
}

const CLUSTER = "svc.cluster.local";
const EXPORT_TO = "networking.istio.io/exportTo";

/** A name without a dot is one of its namespace's Services. */
export function fullHost(host: string, namespace: string): string {
  return host.startsWith("*") || host.includes(".") ? host : `${host}.${namespace}.${CLUSTER}`;
}

/** The namespaces, or `*`, that an `exportTo` opens to. */
export function scopesOf(exportTo: readonly string[], namespace: string): readonly string[] {
  if (exportTo.length === 0 || exportTo.includes("*")) return ["*"];
  return [...new Set(exportTo.map((one) => (one === "." ? namespace : one)))];
}

function hostTable(audit: AuditContext): HostTable {
  const exact = new Map<string, KnownHost>();
  const wildcards: (KnownHost & { scope: string })[] = [];
  const add = (scopes: readonly string[], known: KnownHost): void => {
    for (const scope of scopes) {
      exact.set(`${scope}/${known.host}`, known);
      if (known.host.startsWith("*")) wildcards.push({ ...known, scope });
    }
  };
  for (const { namespace, spec } of audit.every("networking.istio.io", "ServiceEntry")) {
    const { hosts, ports, exportTo, workloadSelector } = fieldsOf(spec);
    const numbers = [...itemsOf(ports)].flatMap(([, { number }]) => numberOf(number) ?? []);
    const selector = labelsOf(fieldsOf(workloadSelector).labels);
    for (const host of textsOf(hosts))
      add(scopesOf(textsOf(exportTo), namespace), {
        host: fullHost(host, namespace),
        ports: numbers,
        selector,
      });
  }
  for (const { namespace, name, spec, annotations } of audit.every("", "Service")) {
    const written = (annotations[EXPORT_TO] ?? "").split(",").map((one) => one.trim());
    const scopes = scopesOf(
      written.filter((one) => one !== ""),
      namespace,
    );
    const ports = [...itemsOf(fieldsOf(spec).ports)].flatMap(([, { port }]) => numberOf(port) ?? []);
    add(scopes, { host: fullHost(name, namespace), ports, selector: {} });
  }
  return { exact, wildcards };
}

/** @param exportTo of the rule that names the host: `istioctl` looks there, too */
export function lookUpHost(
  audit: AuditContext,
  host: string,
  namespace: string,
  exportTo: readonly string[] = [],
): KnownHost | undefined {
  const { exact, wildcards } = audit.fact(hostTable);
  const full = fullHost(host, namespace);
  const scopes = exportTo.length === 0 ? [namespace] : exportTo.map((one) => (one === "." ? namespace : one));
  for (const scope of ["*", ...scopes]) {
    const known = exact.get(`${scope}/${full}`);
    if (known !== undefined) return known;
  }
  const bare = host.replace(/^\*/, "");
  return wildcards.find(
    (known) => (known.scope === "*" || known.scope === namespace) && bare.endsWith(known.host.slice(1)),
  );
}
