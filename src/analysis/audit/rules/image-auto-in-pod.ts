import type { AuditContext } from "../audit-context.ts";
import { containersOf, PROXY_CONTAINER, podsOf } from "../facts/pods.ts";
import type { Hit } from "../finding.ts";
import type { AuditRule } from "../rule.ts";

export const imageAutoInPod: AuditRule = {
  id: "BW0147",
  title: "A pod that runs, or would run, the image `auto`",
  severity: "medium",
  same: { istio: "IST0147" },
  attacks: ["M12"],
  what: "A Pod whose container `istio-proxy` has the image `auto`: the injector has passed it by.",
  why: "`auto` is no image: the pod has no proxy, or, with an image of that name in the registry, somebody else's.",
  fix: "Let the injector make the pod anew, or name the proxy's image.",
  claims: ["captured"],
  check: passedBy,
};

function* passedBy(audit: AuditContext): Iterable<Hit> {
  for (const pod of audit.fact(podsOf)) {
    if (pod.resource.kind !== "Pod") continue;
    const proxy = containersOf(pod).find(
      ({ name, role }) => name === PROXY_CONTAINER && role === "containers",
    );
    if (proxy?.image === "auto")
      yield {
        resource: pod.resource,
        path: [...proxy.path, "image"],
        title: "the injector has not filled in image `auto`",
      };
  }
}
