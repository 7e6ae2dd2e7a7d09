/** Which pods take HBONE, the tunnel of ambient mode, from ztunnels and waypoints. */
import { load } from "js-yaml";
import type { Mesh, Workload } from "../../model/mesh.ts";

const TUNNEL_LABEL = "networking.istio.io/tunnel";
const SWITCH = "ISTIO_META_ENABLE_HBONE";

/**
 * Pods in ambient mode do; one behind a sidecar does where its label says so, which injection sets where the proxy's metadata has
 * ISTIO_META_ENABLE_HBONE. Resources without any mesh settings are taken to be of a mesh that was installed by the ambient profile, which has it.
 * @see manifests/charts/istio-control/istio-discovery/files/injection-template.yaml of istio/istio
 */
export function takesHbone(mesh: Mesh, workload: Workload): boolean {
  const { dataplane, role, labels, kind, addresses } = workload;
  if (dataplane === "ambient") return role === "application";
  if (dataplane === "none" || role !== "application") return false;
  const label = labels[TUNNEL_LABEL];
  if (label !== undefined) return label.split(",").includes("http");
  // Whatever runs already was labelled when it was injected.
  const isInjected = kind === "WorkloadEntry" || (kind === "Pod" && addresses.length > 0);
  return !isInjected && isSwitchedOn(mesh, workload);
}

function isSwitchedOn({ config }: Mesh, { annotations }: Workload): boolean {
  const own = switchIn(parsed(annotations["proxy.istio.io/config"]));
  if (own !== undefined) return own;
  const isSilent = Object.keys(config.raw).length === 0;
  return switchIn(config.raw.defaultConfig) ?? isSilent;
}

function switchIn(proxyConfig: unknown): boolean | undefined {
  const metadata = (proxyConfig as { proxyMetadata?: Readonly<Record<string, unknown>> } | null | undefined)
    ?.proxyMetadata;
  const value = metadata?.[SWITCH];
  return value === undefined ? undefined : String(value) === "true";
}

function parsed(text: string | undefined): unknown {
  if (text === undefined) return undefined;
  try {
    return load(text);
  } catch {
    return undefined;
  }
}
