/** The proxy's image that each revision of the injector gives, and the variants that ProxyConfigs ask for. */

import { load } from "js-yaml";
import { matchesLabels } from "../../../model/selector.ts";
import type { WrittenContainer } from "../../trust/images/pod-containers.ts";
import type { AuditContext } from "../audit-context.ts";
import type { AuditedPod } from "./pods.ts";
import { fieldsOf, labelsOf, textOf } from "./written.ts";

export interface InjectorImage {
  readonly name: string;
  /** True also for a pod without a proxy, and for one that names its image itself. */
  isRunBy(pod: AuditedPod, proxy: WrittenContainer | undefined): boolean;
}

const INJECTOR = "istio-sidecar-injector";
const OWN_IMAGE = "sidecar.istio.io/proxyImage";

/** By revision; `default` for the one without. */
export function injectorImages(audit: AuditContext): ReadonlyMap<string, InjectorImage> {
  const images = new Map<string, InjectorImage>();
  for (const { name, body } of audit.every("", "ConfigMap")) {
    if (name !== INJECTOR && !name.startsWith(`${INJECTOR}-`)) continue;
    const image = imageIn(textOf(fieldsOf(body.data).values));
    if (image === "") continue;
    const revision = name === INJECTOR ? "default" : name.slice(INJECTOR.length + 1);
    images.set(revision, {
      name: image,
      isRunBy: (pod, proxy) => {
        if (proxy === undefined || (pod.annotations[OWN_IMAGE] ?? "") !== "") return true;
        return proxy.image === image || proxy.image === `${image}-${variantOf(audit, pod)}`;
      },
    });
  }
  return images;
}

function imageIn(values: string): string {
  let parsed: unknown;
  try {
    parsed = JSON.parse(values);
  } catch {
    return "";
  }
  const { hub, tag, proxy } = fieldsOf(fieldsOf(parsed).global);
  const image = textOf(fieldsOf(proxy).image);
  return image.includes("/") ? image : `${textOf(hub)}/${image}:${String(tag)}`;
}

/** `distroless`; the pod's annotation wins over the workload's ProxyConfig, that over its namespace's, and that over the mesh's. */
function variantOf(audit: AuditContext, { namespace, labels, annotations }: AuditedPod): string {
  const configs = audit.every("networking.istio.io", "ProxyConfig");
  const typeOf = (spec: unknown): string => textOf(fieldsOf(fieldsOf(spec).image).imageType);
  const selectorOf = (spec: unknown): unknown => fieldsOf(spec).selector;
  const root = audit.mesh.config.rootNamespace;
  const levels = [
    configs.filter((one) => one.namespace === root),
    configs.filter((one) => one.namespace === namespace && selectorOf(one.spec) === undefined),
    configs.filter(
      (one) =>
        one.namespace === namespace &&
        selectorOf(one.spec) !== undefined &&
        matchesLabels(labelsOf(fieldsOf(selectorOf(one.spec)).matchLabels), labels),
    ),
  ];
  const own = typeOf(proxyConfigOf(annotations["proxy.istio.io/config"]));
  if (own !== "") return own;
  const said = levels
    .flat()
    .map(({ spec }) => typeOf(spec))
    .filter((type) => type !== "");
  return said.at(-1) ?? meshVariant(audit);
}

function proxyConfigOf(text: string | undefined): unknown {
  try {
    return load(text ?? "");
  } catch {
    return undefined;
  }
}

function meshVariant(audit: AuditContext): string {
  return textOf(fieldsOf(fieldsOf(fieldsOf(audit.mesh.config.raw).defaultConfig).image).imageType);
}
