import type { Resource } from "../../../resources/resource.ts";
import type { AuditContext } from "../audit-context.ts";
import { fullHost } from "../facts/known-hosts.ts";
import {
  isAmbientNamespace,
  labelsOfNamespace,
  servicesByName,
  waypointAskedFor,
} from "../facts/waypoint-labels.ts";
import { type Fields, fieldsOf, itemsOf, listOf, textOf, textsOf } from "../facts/written.ts";
import type { Hit } from "../finding.ts";
import type { AuditRule } from "../rule.ts";

export const waypointNeeded: AuditRule = {
  id: "BW0310",
  title: "What only a waypoint reads, where none does",
  severity: "medium",
  same: { kiali: "KIA1115" },
  attacks: ["M5", "M9"],
  what:
    "In namespaces in ambient mode: RequestAuthentications and WasmPlugins without `targetRefs`, which neither ztunnel nor a waypoint reads (`KIA1110`, `KIA1115`, `KIA1111`, `KIA1116`); VirtualServices with routes for HTTP, and DestinationRules with settings for it (connection pools for HTTP, outlier detection, hashing by header or cookie), for a Service there that asks for no waypoint (`KIA1113`, `KIA0211`), " +
    "or from another namespace than the Service's, which its waypoint does not read (`KIA1114`, `KIA0212`). AuthorizationPolicies are BW0954; `targetRefs` to a Service without a waypoint BW0966. What Telemetries ask for guards nothing, and is left out.",
  why: "Tokens that are to be verified are not; the filter, the fault, the timeout or the split that a route asks for does not happen, though the text is in the cluster.",
  fix: "Give the Service or its namespace a waypoint (`istio.io/use-waypoint`), the resource `targetRefs` to it, and write it in the Service's namespace.",
  claims: ["configuration-in-force"],
  check: unread,
};

function* unread(audit: AuditContext): Iterable<Hit> {
  yield* withoutTargets(
    audit,
    audit.every("security.istio.io", "RequestAuthentication"),
    "KIA1115",
    "no token is verified",
  );
  yield* withoutTargets(
    audit,
    audit.every("extensions.istio.io", "WasmPlugin"),
    "KIA1116",
    "the plugin runs nowhere",
  );
  for (const resource of audit.every("networking.istio.io", "VirtualService")) {
    const { http, hosts } = fieldsOf(resource.spec);
    if (listOf(http).length > 0)
      for (const [index, host] of textsOf(hosts).entries())
        yield* unservedHost(audit, resource, host, ["spec", "hosts", index], ["KIA1113", "KIA1114"]);
  }
  for (const resource of audit.every("networking.istio.io", "DestinationRule"))
    if (isForHttp(fieldsOf(resource.spec)))
      yield* unservedHost(
        audit,
        resource,
        textOf(fieldsOf(resource.spec).host),
        ["spec", "host"],
        ["KIA0211", "KIA0212"],
      );
}

function* withoutTargets(
  audit: AuditContext,
  resources: readonly Resource[],
  kiali: string,
  effect: string,
): Iterable<Hit> {
  for (const resource of resources) {
    const { targetRef, targetRefs } = fieldsOf(resource.spec);
    if (
      targetRef !== undefined ||
      listOf(targetRefs).length > 0 ||
      !isAmbientNamespace(audit, resource.namespace)
    )
      continue;
    yield {
      resource,
      kiali,
      ...(resource.kind === "RequestAuthentication" ? { severity: "high" as const } : {}),
      title: `without \`targetRefs\` nobody in ambient mode reads it: ${effect}`,
    };
  }
}

function* unservedHost(
  audit: AuditContext,
  resource: Resource,
  host: string,
  path: readonly (string | number)[],
  [unserved, elsewhere]: readonly [string, string],
): Iterable<Hit> {
  const [, name, namespace = ""] =
    /^([^.*]+)\.([^.]+)\.svc\.cluster\.local$/.exec(fullHost(host, resource.namespace)) ?? [];
  const service = audit.fact(servicesByName).get(`${namespace}/${name}`);
  if (service === undefined || !isAmbientNamespace(audit, namespace)) return;
  if (waypointAskedFor(service.labels, labelsOfNamespace(audit, namespace)) === undefined)
    yield {
      resource,
      path,
      kiali: unserved,
      title: `no waypoint stands before \`${namespace}/${service.name}\`, and ztunnel knows no HTTP`,
    };
  else if (namespace !== resource.namespace)
    yield {
      resource,
      path,
      kiali: elsewhere,
      title: `the waypoint of \`${namespace}/${service.name}\` reads what is in its own namespace alone`,
    };
}

function isForHttp({ trafficPolicy, subsets }: Fields): boolean {
  const policies = [trafficPolicy, ...[...itemsOf(subsets)].map(([, subset]) => subset.trafficPolicy)].map(
    fieldsOf,
  );
  const ports = policies.flatMap(({ portLevelSettings }) =>
    [...itemsOf(portLevelSettings)].map(([, port]) => port),
  );
  return [...policies, ...ports].some(({ connectionPool, outlierDetection, loadBalancer }) => {
    const hash = fieldsOf(fieldsOf(loadBalancer).consistentHash);
    return (
      fieldsOf(connectionPool).http !== undefined ||
      outlierDetection !== undefined ||
      hash.httpHeaderName !== undefined ||
      hash.httpCookie !== undefined
    );
  });
}
