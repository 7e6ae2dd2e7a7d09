/**
 * What Istio's own containers have beyond what they need.
 * Source: istio/istio, manifests/charts: istio-discovery's injection template, ztunnel's and istio-cni's DaemonSets.
 */
import type { FieldPath } from "../../../resources/resource.ts";
import { parseImageReference } from "../images/image-reference.ts";
import { AUTO_IMAGE, type WrittenContainer } from "../images/pod-containers.ts";
import { asList, asObject, type Json } from "./control.ts";

export interface ProxyExcess {
  /** Below the container's `securityContext`. */
  readonly steps: FieldPath;
  readonly text: string;
  /** Whether it is a way to the node. */
  readonly isGrave: boolean;
}

interface Needs {
  readonly capabilities: readonly string[];
  readonly root: boolean;
  /** SYS_ADMIN makes the runtime allow it, whatever is written. */
  readonly escalation: boolean;
}

const NODE_NEEDS: Readonly<Record<string, Needs>> = {
  ztunnel: { capabilities: ["NET_ADMIN", "NET_RAW", "SYS_ADMIN"], root: true, escalation: true },
  "install-cni": {
    capabilities: ["NET_ADMIN", "NET_RAW", "SYS_ADMIN", "SYS_PTRACE", "DAC_OVERRIDE"],
    root: true,
    escalation: true,
  },
};
const INIT_NEEDS: Needs = { capabilities: ["NET_ADMIN", "NET_RAW"], root: true, escalation: false };
const NOTHING: Needs = { capabilities: [], root: false, escalation: false };
const TPROXY_NEEDS: Needs = { capabilities: ["NET_ADMIN"], root: true, escalation: false };

const INTERCEPTION = "sidecar.istio.io/interceptionMode";
const BIND_SERVICE = "sidecar.istio.io/capNetBindService";
/** Lets a process take low ports, and nothing else. */
const HARMLESS = "NET_BIND_SERVICE";
/** Of the network of the pod alone. */
const OF_THE_POD = new Set(["NET_ADMIN", "NET_RAW"]);

/**
 * @param annotations of the pod
 * @returns nothing for containers that are not Istio's
 */
export function excessesOf(
  { name, image, container }: Pick<WrittenContainer, "name" | "image" | "container">,
  annotations: Readonly<Record<string, unknown>>,
): readonly ProxyExcess[] {
  const needs = needsOf(name, image, container, annotations);
  if (needs === undefined) return [];
  const context = asObject(container.securityContext);
  const { add, drop } = asObject(context.capabilities);
  const excesses: ProxyExcess[] = [];
  const isFilledIn = image === AUTO_IMAGE || image === "";
  if (context.privileged === true)
    excesses.push({ steps: ["privileged"], text: "is privileged", isGrave: true });
  for (const [index, value] of asList(add).entries()) {
    const added = String(value);
    if (added !== HARMLESS && !needs.capabilities.includes(added))
      excesses.push({
        steps: ["capabilities", "add", index],
        text: `adds ${added}`,
        isGrave: !OF_THE_POD.has(added),
      });
  }
  // Runtimes read `all` as ALL; the Pod Security Standards do not (BW0507).
  const dropsAll = asList(drop).some((dropped) => String(dropped).toUpperCase() === "ALL");
  if (!dropsAll && (!isFilledIn || drop !== undefined))
    excesses.push({
      steps: ["capabilities", "drop"],
      text: "keeps the default capabilities",
      isGrave: false,
    });
  const { allowPrivilegeEscalation: escalation } = context;
  if (!needs.escalation && escalation !== false && (!isFilledIn || escalation === true))
    excesses.push({ steps: ["allowPrivilegeEscalation"], text: "may gain rights", isGrave: false });
  if (!needs.root && (context.runAsUser === 0 || context.runAsNonRoot === false))
    excesses.push({
      steps: [context.runAsUser === 0 ? "runAsUser" : "runAsNonRoot"],
      text: "runs as root",
      isGrave: false,
    });
  return excesses;
}

function needsOf(
  name: string,
  image: string,
  body: Json,
  annotations: Readonly<Record<string, unknown>>,
): Needs | undefined {
  const imageName = parseImageReference(image)?.repository.split("/").at(-1) ?? "";
  const ofNode = Object.hasOwn(NODE_NEEDS, imageName) ? NODE_NEEDS[imageName] : undefined;
  if (ofNode !== undefined) return ofNode;
  if (name === "istio-init") return INIT_NEEDS;
  if (name === "istio-validation") return NOTHING;
  if (name !== "istio-proxy") return undefined;
  if (annotations[INTERCEPTION] === "TPROXY" || isTproxy(body)) return TPROXY_NEEDS;
  return annotations[BIND_SERVICE] === "true" ? { ...NOTHING, root: true } : NOTHING;
}

/** As the injector writes it from the mesh's settings. */
function isTproxy({ env }: Json): boolean {
  return asList(env)
    .map(asObject)
    .some(({ name, value }) => name === "ISTIO_META_INTERCEPTION_MODE" && value === "TPROXY");
}
