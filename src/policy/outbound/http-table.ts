/** The route configuration of one HTTP port: virtual hosts, built when the first request comes. */

import type { PathNormalization } from "../../model/mesh-config.ts";
import { normalizePath } from "../normalize-path.ts";
import { DomainTable } from "./domain-table.ts";
import { authorityHost, type RequestParts, RequestView } from "./request-view.ts";
import type { OutboundDecision, RouteRef } from "./types.ts";
import type { VirtualHost, VirtualHosts } from "./virtual-hosts.ts";

export interface HttpTable {
  /** @param namespace the client's: of a table that namespaces share it counts short names in. */
  route(
    parts: RequestParts & { readonly path: string },
    listener: string,
    namespace: string,
  ): OutboundDecision;
  /** The virtual host that takes an authority; undefined: the outbound traffic policy decides. */
  virtualHost(authority: string, namespace: string): VirtualHost | undefined;
}

const NOBODY: RouteRef = Object.freeze({ resource: null, section: "default", route: null });

/**
 * @param normalization of the paths as they come: `NONE` where a server has judged the request before, whose path is normal already.
 *   INVARIANT: a path is made normal once, for once more can come to another (`/%2e;a` is `/.;a`, which would be `/`): routed and sent
 *   on would be what nobody judged.
 * @param build gives the virtual hosts; called once, when first needed.
 * @param otherwise decides for hosts that none takes.
 */
export function createHttpTable(
  normalization: PathNormalization,
  build: () => VirtualHosts,
  otherwise: (request: RequestView, listener: string) => OutboundDecision,
): HttpTable {
  let built: VirtualHosts | undefined;
  let common: DomainTable<VirtualHost> | undefined;
  const tables = new Map<string, DomainTable<VirtualHost>>();
  const tableFor = (namespace: string): DomainTable<VirtualHost> => {
    let table = tables.get(namespace);
    if (table === undefined) {
      built ??= build();
      common ??= new DomainTable(domainsOf(built.hosts));
      const names = built.namesIn(namespace);
      table = names.length === 0 ? common : new DomainTable(names, common);
      tables.set(namespace, table);
    }
    return table;
  };
  const virtualHost = (authority: string, namespace: string): VirtualHost | undefined =>
    tableFor(namespace).find(authorityHost(authority));
  return {
    virtualHost,
    route(parts, listener, namespace) {
      const path = normalizePath(normalization, parts.path);
      if (path === null)
        return { kind: "refuse", allowed: false, code: 400, reason: "no-route", by: NOBODY, listener };
      const request = new RequestView(parts, parts.path, path);
      const host = virtualHost(parts.authority, namespace);
      return host === undefined
        ? otherwise(request, listener)
        : routeIn(host, request, `${listener} ${host.name}`);
    },
  };
}

function* domainsOf(hosts: readonly VirtualHost[]): Generator<readonly [string, VirtualHost]> {
  for (const host of hosts) for (const domain of host.domains) yield [domain, host];
}

function routeIn(host: VirtualHost, request: RequestView, listener: string): OutboundDecision {
  for (const route of host.routes) if (route.takes(request)) return route.decide(request, listener);
  return notFound(listener);
}

export function notFound(listener: string): OutboundDecision {
  return { kind: "refuse", allowed: false, code: 404, reason: "no-route", by: NOBODY, listener };
}
