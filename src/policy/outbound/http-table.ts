/** The route configuration of one HTTP port: virtual hosts, built when the first request comes. */

import type { PathNormalization } from "../../model/mesh-config.ts";
import { normalizePath } from "../normalize-path.ts";
import { DomainTable } from "./domain-table.ts";
import { authorityHost, type RequestParts, RequestView } from "./request-view.ts";
import type { OutboundDecision, RouteRef } from "./types.ts";
import type { VirtualHost } from "./virtual-hosts.ts";

export interface HttpTable {
  route(parts: RequestParts & { readonly path: string }, listener: string): OutboundDecision;
  virtualHosts(): readonly VirtualHost[];
  /** The virtual host that takes an authority; undefined: the outbound traffic policy decides. */
  virtualHost(authority: string): VirtualHost | undefined;
}

const NOBODY: RouteRef = Object.freeze({ resource: null, section: "default", route: null });

/**
 * @param build gives the virtual hosts; called once, when first needed.
 * @param otherwise decides for hosts that none takes.
 */
export function createHttpTable(
  normalization: PathNormalization,
  build: () => readonly VirtualHost[],
  otherwise: (request: RequestView, listener: string) => OutboundDecision,
): HttpTable {
  let hosts: readonly VirtualHost[] | undefined;
  let table: DomainTable<VirtualHost> | undefined;
  const virtualHosts = (): readonly VirtualHost[] => {
    hosts ??= build();
    return hosts;
  };
  const virtualHost = (authority: string): VirtualHost | undefined => {
    table ??= new DomainTable(
      virtualHosts().flatMap((host) => host.domains.map((domain) => [domain, host] as const)),
    );
    return table.find(authorityHost(authority));
  };
  return {
    virtualHosts,
    virtualHost,
    route(parts, listener) {
      const path = normalizePath(normalization, parts.path);
      if (path === null)
        return { kind: "refuse", allowed: false, code: 400, reason: "no-route", by: NOBODY, listener };
      const request = new RequestView(parts, parts.path, path);
      const host = virtualHost(parts.authority);
      return host === undefined
        ? otherwise(request, listener)
        : routeIn(host, request, `${listener} ${host.name}`);
    },
  };
}

function routeIn(host: VirtualHost, request: RequestView, listener: string): OutboundDecision {
  for (const route of host.routes) if (route.takes(request)) return route.decide(request, listener);
  return notFound(listener);
}

export function notFound(listener: string): OutboundDecision {
  return { kind: "refuse", allowed: false, code: 404, reason: "no-route", by: NOBODY, listener };
}
