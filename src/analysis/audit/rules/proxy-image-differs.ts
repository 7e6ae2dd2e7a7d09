import type { AuditContext } from "../audit-context.ts";
import { injectorImages } from "../facts/injector-images.ts";
import { containersOf, PROXY_CONTAINER, podsOf } from "../facts/pods.ts";
import type { Hit } from "../finding.ts";
import type { AuditRule } from "../rule.ts";

export const proxyImageDiffers: AuditRule = {
  id: "BW0158",
  title: "Pods that run another proxy than the injector gives",
  severity: "medium",
  same: { istio: "IST0158" },
  attacks: ["E5"],
  what: "Pods of an injected namespace whose container `istio-proxy` has another image than the injector's ConfigMap of that revision says, with or without the variant (`distroless`) that the mesh's or the namespace's ProxyConfig asks for. Pods that name an image themselves (`sidecar.istio.io/proxyImage`) are left out.",
  why: "They run an old proxy with known holes, or one that somebody else has built: it holds the pod's key, and decides for the pod.",
  fix: "Restart what owns the pods, after looking where the image came from.",
  claims: ["configuration-in-force"],
  check: differing,
};

function* differing(audit: AuditContext): Iterable<Hit> {
  const images = audit.fact(injectorImages);
  if (images.size === 0) return;
  const pods = Map.groupBy(audit.fact(podsOf), ({ namespace }) => namespace);
  for (const resource of audit.every("", "Namespace")) {
    const revision = resource.labels["istio.io/rev"];
    if (revision === undefined && resource.labels["istio-injection"] !== "enabled") continue;
    const image = images.get(revision ?? "default");
    if (image === undefined) continue;
    const others = (pods.get(resource.name) ?? []).filter(
      (pod) =>
        pod.resource.kind === "Pod" &&
        !image.isRunBy(
          pod,
          containersOf(pod).find(({ name }) => name === PROXY_CONTAINER),
        ),
    );
    if (others.length === 0) continue;
    const names = others.map(({ resource: { name } }) => `\`${name}\``).sort();
    yield { resource, title: `${names.join(", ")} run another proxy than \`${image.name}\`` };
  }
}
