/**
 * Fields that decide who is let in and that no comparison reads: keys of tokens and where these stand, which authorizer is asked, whose account
 * a workload runs as, how servers outside are known. Where one has changed that is told: silence would say that nothing has.
 */

import type { Mesh } from "../../model/mesh.ts";
import { podOf } from "../../model/written-pod.ts";
import { type Resource, resourceName } from "../../resources/resource.ts";
import { apart, type Cause, causeAt } from "./causes.ts";
import { WORKLOAD_KINDS } from "./workload-kinds.ts";

type Json = Readonly<Record<string, unknown>>;

interface UnreadFields {
  /** What they say, for a person: "which keys tokens are verified with". */
  readonly what: string;
  readonly kinds: readonly string[];
  readonly of: (resource: Resource) => unknown;
  /** Whether they are told of resources that are new, or gone, too: nothing else tells of them. They are a list, which is empty of others. */
  readonly isOfNew?: true;
}

const TOKENS = "how tokens are verified, and where they may stand";

/** Kinds of which HTTP's routes are. */
const ROUTES = ["VirtualService", "HTTPRoute", "GRPCRoute"];

const UNREAD: readonly UnreadFields[] = [
  {
    what: "the service account that it runs as",
    kinds: WORKLOAD_KINDS,
    of: (resource) => {
      const spec = recordOf(podOf(resource)?.pod.spec);
      return spec.serviceAccountName ?? spec.serviceAccount ?? "default";
    },
  },
  {
    what: TOKENS,
    kinds: ["RequestAuthentication"],
    of: ({ spec }) =>
      itemsOf(recordOf(spec).jwtRules).map(
        ({ issuer, jwks, jwksUri, jwks_uri, fromHeaders, fromParams, fromCookies }) => [
          issuer,
          jwks,
          jwksUri ?? jwks_uri,
          fromHeaders,
          fromParams,
          fromCookies,
        ],
      ),
  },
  {
    what: "what of tokens is sent on, and which of their claims are lists",
    kinds: ["RequestAuthentication"],
    of: ({ spec }) =>
      itemsOf(recordOf(spec).jwtRules).map(
        ({ forwardOriginalToken, outputPayloadToHeader, outputClaimToHeaders, spaceDelimitedClaims }) => [
          forwardOriginalToken,
          outputPayloadToHeader,
          outputClaimToHeaders,
          spaceDelimitedClaims,
        ],
      ),
  },
  {
    what: "which authorizer is asked",
    kinds: ["AuthorizationPolicy"],
    of: ({ spec }) => recordOf(spec).provider,
  },
  {
    what: "how the server is known to be the right one",
    kinds: ["DestinationRule"],
    of: ({ spec }) => {
      const { trafficPolicy, subsets } = recordOf(spec);
      return [trafficPolicy, ...itemsOf(subsets).map((subset) => subset.trafficPolicy)].map(serverKnowledge);
    },
  },
  {
    what: "which addresses stand for the host",
    kinds: ["ServiceEntry"],
    of: ({ spec }) => {
      const { endpoints, addresses, resolution, subjectAltNames, workloadSelector } = recordOf(spec);
      return [endpoints, addresses, resolution, subjectAltNames, workloadSelector];
    },
  },
  {
    what: "who gets copies of requests",
    kinds: ROUTES,
    isOfNew: true,
    of: ({ spec }) =>
      ofRoutes(
        spec,
        ({ mirror, mirrors, mirrorPercent, mirrorPercentage }) =>
          mirror === undefined && mirrors === undefined
            ? undefined
            : [mirror, mirrors, mirrorPercent, mirrorPercentage],
        ({ requestMirror }) => requestMirror,
      ),
  },
  {
    what: "what proxies answer themselves, and where they redirect to",
    kinds: ROUTES,
    isOfNew: true,
    of: ({ spec }) =>
      ofRoutes(
        spec,
        ({ redirect, directResponse }) => both(redirect, directResponse),
        ({ requestRedirect }) => requestRedirect,
      ),
  },
  {
    what: "from which origins browsers may ask",
    kinds: ROUTES,
    isOfNew: true,
    of: ({ spec }) =>
      ofRoutes(
        spec,
        ({ corsPolicy }) => corsPolicy,
        ({ cors }) => cors,
      ),
  },
  {
    what: "how many requests its faults refuse",
    kinds: ["VirtualService"],
    isOfNew: true,
    of: ({ spec }) => ofRoutes(spec, ({ fault }) => partialAbort(recordOf(fault).abort)),
  },
  {
    what: "what of paths it rewrites, and by which pattern",
    kinds: ROUTES,
    of: ({ spec }) =>
      ofRoutes(
        spec,
        ({ rewrite }) => recordOf(rewrite).uriRegexRewrite,
        ({ urlRewrite }) => recordOf(recordOf(urlRewrite).path).type,
      ),
  },
  {
    what: "the certificates of its servers, and whose certificates they take",
    kinds: ["Gateway"],
    of: ({ spec }) => [
      itemsOf(recordOf(spec).servers).map(({ tls }) => tls),
      itemsOf(recordOf(spec).listeners).map(({ tls }) => tls),
    ],
  },
];

/** Of each route that says something of it, with what the route is for: those of a VirtualService, and those of the Gateway API, whose rules and backends have filters. */
function ofRoutes(
  spec: unknown,
  ofRoute: (route: Json) => unknown,
  ofFilter: (filter: Json) => unknown = () => undefined,
): readonly unknown[] {
  const { http, rules } = recordOf(spec);
  const said = (match: unknown, value: unknown) => (value === undefined ? [] : [[match, value]]);
  return [
    ...itemsOf(http).flatMap((route) => said(route.match, ofRoute(route))),
    ...itemsOf(rules).flatMap(({ matches, filters, backendRefs }) =>
      [...itemsOf(filters), ...itemsOf(backendRefs).flatMap((backend) => itemsOf(backend.filters))].flatMap(
        (filter) => said(matches, ofFilter(filter)),
      ),
    ),
  ];
}

function both(one: unknown, other: unknown): unknown {
  return one === undefined && other === undefined ? undefined : [one, other];
}

/** What refuses all, or none, is compared as where requests are sent. */
function partialAbort(abort: unknown): unknown {
  const { value } = recordOf(recordOf(abort).percentage);
  return typeof value === "number" && value > 0 && value < 100 ? abort : undefined;
}

function serverKnowledge(trafficPolicy: unknown): unknown {
  const { tls, portLevelSettings } = recordOf(trafficPolicy);
  return [recordOf(tls), ...itemsOf(portLevelSettings).map((port) => recordOf(port.tls))].map(
    ({
      insecureSkipVerify,
      subjectAltNames,
      caCertificates,
      caCrl,
      credentialName,
      clientCertificate,
      sni,
    }) => [
      insecureSkipVerify,
      subjectAltNames,
      caCertificates,
      caCrl,
      credentialName,
      clientCertificate,
      sni,
    ],
  );
}

/** Of a RequestAuthentication that comes or goes it is told, too: another may have named the same issuer with other keys. */
const WHOLE: ReadonlySet<string> = new Set(["RequestAuthentication"]);

/** Resources that are in both meshes, or of which one has none, with fields of which the change means what is not compared. */
export function unreadChanges(before: Mesh, after: Mesh): readonly Cause[] {
  const [left, come] = apart(before.resources, after.resources);
  const old = new Map(left.map((resource) => [resourceName(resource), resource]));
  const now = new Map(come.map((resource) => [resourceName(resource), resource]));
  const changed = [...now].flatMap(([name, resource]) => {
    const known = old.get(name);
    if (known === undefined) return ofOneSide(resource, "added");
    if (known.body === resource.body) return [];
    return UNREAD.filter(
      ({ kinds, of }) => kinds.includes(resource.kind) && text(of(known)) !== text(of(resource)),
    ).map(({ what }) => unread(resource, "changed", what));
  });
  const removed = [...old.values()]
    .filter((resource) => !now.has(resourceName(resource)))
    .flatMap((resource) => ofOneSide(resource, "removed"));
  return [...changed, ...removed];
}

function ofOneSide(resource: Resource, change: "added" | "removed"): readonly Cause[] {
  if (WHOLE.has(resource.kind)) return [unread(resource, change, TOKENS)];
  return UNREAD.filter(
    ({ kinds, of, isOfNew }) => isOfNew && kinds.includes(resource.kind) && text(of(resource)) !== "[]",
  ).map(({ what }) => unread(resource, change, what));
}

function unread(resource: Resource, change: Cause["change"], what: string): Cause {
  return { ...causeAt(resource, change), what };
}

function text(value: unknown): string {
  return JSON.stringify(value) ?? "";
}

function recordOf(value: unknown): Json {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Json) : {};
}

function itemsOf(value: unknown): readonly Json[] {
  return Array.isArray(value) ? value.map(recordOf) : [];
}
