import type { Resource } from "../../../resources/resource.ts";
import type { AuditContext } from "../audit-context.ts";
import { type AuditedPod, containersOf, PROXY_CONTAINER, podsOf } from "../facts/pods.ts";
import { fieldsOf, itemsOf, textOf } from "../facts/written.ts";
import type { Hit } from "../finding.ts";
import type { AuditRule } from "../rule.ts";

export const firstPartyTokens: AuditRule = {
  id: "BW0405",
  title: "Proxies that prove who they are by a token that is good for everything",
  severity: "medium",
  same: { snowcat: "Weak Service Account Authentication" },
  attacks: ["E4", "C2"],
  what: "`JWT_POLICY` of a container `istio-proxy` with another value than `third-party-jwt`; an injected pod (annotation `sidecar.istio.io/status`) whose proxy has neither `JWT_POLICY` nor a volume with a token for one audience; and `global.jwtPolicy: first-party-jwt` in the injector's values.",
  why: "The account's general token is sent to istiod, and taken by it. It has no audience of its own: whoever sees it (istiod's log, a debugger, any process of the pod) uses it against the API server, and one that was stolen elsewhere buys a mesh identity.",
  fix: "Use `third-party-jwt`, which is the default of every Istio that is still maintained: a token for the audience `istio-ca` that expires.",
  claims: ["own-accounts"],
  check: generalTokens,
};

const SOUND = "third-party-jwt";
const STATUS = "sidecar.istio.io/status";

function* generalTokens(audit: AuditContext): Iterable<Hit> {
  for (const pod of audit.fact(podsOf)) yield* inPod(pod);
  for (const resource of audit.every("", "ConfigMap")) {
    const values = textOf(fieldsOf(resource.body.data).values);
    if (resource.name.startsWith("istio-sidecar-injector") && /"jwtPolicy":\s*"first-party-jwt"/.test(values))
      yield hit(resource, ["data", "values"], "first-party-jwt");
  }
}

function* inPod(pod: AuditedPod): Iterable<Hit> {
  const proxy = containersOf(pod).find(({ name }) => name === PROXY_CONTAINER);
  if (proxy === undefined) return;
  const said = [...itemsOf(proxy.container.env)].find(([, { name }]) => name === "JWT_POLICY");
  if (said !== undefined) {
    const [index, { value }] = said;
    if (value !== SOUND && value !== undefined)
      yield hit(pod.resource, [...proxy.path, "env", index, "value"], textOf(value));
    return;
  }
  if (pod.annotations[STATUS] === undefined || hasBoundToken(pod)) return;
  yield {
    resource: pod.resource,
    path: proxy.path,
    title: `\`${PROXY_CONTAINER}\` has no token of its own audience: it sends the account's general one`,
  };
}

function hasBoundToken({ spec }: AuditedPod): boolean {
  return [...itemsOf(spec.volumes)].some(([, { projected }]) =>
    [...itemsOf(fieldsOf(projected).sources)].some(
      ([, { serviceAccountToken }]) => textOf(fieldsOf(serviceAccountToken).audience) !== "",
    ),
  );
}

function hit(resource: Resource, path: readonly (string | number)[], policy: string): Hit {
  return { resource, path: [...path], title: `\`${policy}\` sends the account's general token to istiod` };
}
