/** PeerAuthentication in ambient mode: istiod turns it into DENY policies against callers without a certificate. */
import type { Mesh, Workload } from "../../model/mesh.ts";
import { type Resource, resourceName } from "../../resources/resource.ts";
import type { Semantics } from "../inbound.ts";
import { compileTransport } from "../peer-authentication.ts";
import { policiesFor } from "../policy-lookup.ts";

/** Refuses plaintext to some ports. */
export interface PlaintextRefusal {
  /** `PeerAuthentication ns/name` that asks for it. */
  readonly policy: string;
  readonly refuses: (port: number) => boolean;
}

type Mode = "STRICT" | "PERMISSIVE" | "DISABLE" | "UNSET";

interface PeerFields {
  readonly selector?: { readonly matchLabels?: Readonly<Record<string, string>> };
  readonly mtls?: { readonly mode?: Mode };
  readonly portLevelMtls?: Readonly<Record<string, { readonly mode?: Mode }>>;
}

/** What istiod attaches and sends; in strict semantics also what PeerAuthentication says and istiod loses. */
export function plaintextRefusals(
  mesh: Mesh,
  workload: Workload,
  semantics: Semantics,
): readonly PlaintextRefusal[] {
  const converted = convertedRefusals(mesh, workload);
  return semantics === "istio" ? converted : [...converted, ...writtenRefusals(mesh, workload)];
}

function writtenRefusals(mesh: Mesh, workload: Workload): readonly PlaintextRefusal[] {
  const root = mesh.config.rootNamespace;
  // That an empty selector in the root namespace is for nobody outside of it is Istio's word for ambient mode.
  const peerAuthentications = policiesFor(mesh.peerAuthentications, workload, root).filter(
    (policy) =>
      policy.namespace !== root || workload.namespace === root || fieldsOf(policy).selector === undefined,
  );
  const { workload: rule, ports } = compileTransport({ ...mesh, peerAuthentications }, workload);
  const ofPort = (port: number) => ports.get(port) ?? rule;
  const names = [rule, ...ports.values()].flatMap(({ policy }) => policy ?? []);
  return [...new Set(names)].map((policy) => ({
    policy,
    refuses: (port) => ofPort(port).mode === "STRICT" && ofPort(port).policy === policy,
  }));
}

function convertedRefusals(mesh: Mesh, workload: Workload): readonly PlaintextRefusal[] {
  const root = mesh.config.rootNamespace;
  // The mesh's lists are sorted by age: the first is the oldest.
  const levels = policiesFor(mesh.peerAuthentications, workload, root);
  const wide = levels.filter((policy) => !hasLabels(policy));
  // An empty selector in the root namespace is one of its own pods alone.
  const isMeshWide = (policy: Resource): boolean =>
    workload.namespace === root || fieldsOf(policy).selector === undefined;
  const rootWide = wide.find((policy) => policy.namespace === root && isMeshWide(policy));
  const ownWide = wide.find(({ namespace }) => namespace !== root);
  const own = levels.find((policy) => hasLabels(policy) && policy.namespace !== root);
  const inherited = modeOf(ownWide) !== "UNSET" ? ownWide : rootWide;
  // INVARIANT (istiod's): with the key of a policy for ports attached, the one for all ports is not; where the policy itself
  // was never made, nothing at all is refused.
  if (own !== undefined && asksForPorts(own, modeOf(inherited) === "STRICT")) return [portRefusal(mesh, own)];
  const by = modeOf(own) === "UNSET" ? inherited : own;
  return by !== undefined && modeOf(by) === "STRICT"
    ? [{ policy: resourceName(by), refuses: () => true }]
    : [];
}

/** Whether istiod attaches the workload's own policy for its ports. */
function asksForPorts(own: Resource, inheritedStrict: boolean): boolean {
  const modes = Object.values(fieldsOf(own).portLevelMtls ?? {}).map(({ mode }) => mode);
  switch (modeOf(own)) {
    case "STRICT":
      return modes.includes("PERMISSIVE") || modes.includes("DISABLE");
    case "UNSET":
      return modes.includes(inheritedStrict ? "PERMISSIVE" : "STRICT");
    default:
      return modes.includes("STRICT");
  }
}

/** The policy for ports as istiod makes it, apart from who attaches it, and with what it forgets; where it makes none, it refuses nothing. */
function portRefusal(mesh: Mesh, own: Resource): PlaintextRefusal {
  const root = mesh.config.rootNamespace;
  // Here, and not where keys are attached, a policy with an empty selector does not count as one for its namespace.
  const wide = mesh.peerAuthentications.filter((policy) => fieldsOf(policy).selector === undefined);
  const ownWide = wide.find(({ namespace }) => namespace === own.namespace);
  const rootWide = wide.find(({ namespace }) => namespace === root);
  const inheritsRoot = modeOf(ownWide) === "UNSET" && modeOf(rootWide) === "STRICT";
  const strictPorts = new Set<number>();
  const exempt = new Set<number>();
  for (const [port, { mode: portMode = "UNSET" }] of Object.entries(fieldsOf(own).portLevelMtls ?? {})) {
    if (portMode === "STRICT") {
      // Whatever the workload's own mode is, which is how a PERMISSIVE workload loses its STRICT port.
      if (!inheritsRoot) strictPorts.add(Number(port));
    } else if (portMode !== "UNSET" && isExemptible(modeOf(own), ownWide, rootWide)) exempt.add(Number(port));
  }
  // There is an exception only to what is STRICT otherwise.
  return {
    policy: resourceName(own),
    refuses: (port) => strictPorts.has(port) || (exempt.size > 0 && !exempt.has(port)),
  };
}

/** Whether an exception for a port has anything to except it from, as istiod sees it. */
function isExemptible(mode: Mode, ownWide: Resource | undefined, rootWide: Resource | undefined): boolean {
  if (mode !== "UNSET") return mode === "STRICT";
  return modeOf(ownWide ?? rootWide) === "STRICT";
}

function modeOf(policy: Resource | undefined): Mode {
  return fieldsOf(policy).mtls?.mode ?? "UNSET";
}

function fieldsOf(policy: Resource | undefined): PeerFields {
  return (policy?.spec ?? {}) as PeerFields;
}

function hasLabels(policy: Resource): boolean {
  return Object.keys(fieldsOf(policy).selector?.matchLabels ?? {}).length > 0;
}
