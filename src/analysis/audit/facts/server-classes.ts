/** Workloads that decide alike: what is said of one of them holds for all, so that each class is looked at once. */
import type {
  AuthorizationPolicySpec,
  Mesh,
  RequestAuthenticationSpec,
  Workload,
} from "../../../model/mesh.ts";
import { type AmbientPolicy, compileAmbient } from "../../../policy/ambient/ambient-policy.ts";
import { compileInbound, type InboundPolicy } from "../../../policy/inbound.ts";
import { attachedPolicies } from "../../../policy/policy-attachment.ts";
import { policiesFor } from "../../../policy/policy-lookup.ts";
import { compilePortProtocols, type PortProtocols } from "../../../policy/port-protocol.ts";
import type { Resource } from "../../../resources/resource.ts";
import type { AuditContext } from "../audit-context.ts";

/** Of 10,000 classes all would be some 200 MB. */
const KEPT_POLICIES = 256;

export class ServerClass {
  /** Never empty; the first stands for all. */
  readonly workloads: [Workload, ...Workload[]];
  /** AuthorizationPolicies that hold there, by age; at a ztunnel, that would if it were a sidecar. */
  readonly authorization: readonly Resource<AuthorizationPolicySpec>[];
  readonly tokens: readonly Resource<RequestAuthenticationSpec>[];
  readonly #mesh: Mesh;
  /** Those of all classes whose policy is kept, the oldest first. */
  readonly #kept: ServerClass[];
  #inbound: InboundPolicy | undefined;
  #ambient: AmbientPolicy | undefined;
  #text: string | undefined;
  #ports: PortProtocols | undefined;

  constructor(
    workload: Workload,
    facts: Pick<ServerClass, "authorization" | "tokens">,
    mesh: Mesh,
    kept: ServerClass[],
  ) {
    this.workloads = [workload];
    this.authorization = facts.authorization;
    this.tokens = facts.tokens;
    this.#mesh = mesh;
    this.#kept = kept;
  }

  get workload(): Workload {
    return this.workloads[0];
  }

  /** Whether a sidecar stands before an application here, so that it decides as `ServerSpace` has it. */
  get isSidecar(): boolean {
    return this.workload.role === "application" && this.workload.dataplane === "sidecar";
  }

  get isAmbient(): boolean {
    return this.workload.role === "application" && this.workload.dataplane === "ambient";
  }

  /** What a sidecar or a gateway decides, as Istio does. Kept for a while: who asks every class once takes {@link compiled}. */
  get inbound(): InboundPolicy {
    if (this.#inbound === undefined) {
      this.#inbound = compileInbound(this.#mesh, this.workload, { semantics: "istio" });
      this.#kept.push(this);
      const oldest = this.#kept.length > KEPT_POLICIES ? this.#kept.shift() : undefined;
      if (oldest !== undefined) oldest.#inbound = undefined;
    }
    return this.#inbound;
  }

  /** The same, not kept. */
  get compiled(): InboundPolicy {
    return this.#inbound ?? compileInbound(this.#mesh, this.workload, { semantics: "istio" });
  }

  /** What its ports are declared to speak, without a look at its policies. */
  get ports(): PortProtocols {
    this.#ports ??= compilePortProtocols(this.#mesh, this.workload);
    return this.#ports;
  }

  /** What its AuthorizationPolicies say, to be searched for what they ask of. */
  get policyText(): string {
    this.#text ??= JSON.stringify(this.authorization.map(({ spec }) => spec));
    return this.#text;
  }

  /** What ztunnel decides, as Istio does. */
  get ambient(): AmbientPolicy {
    this.#ambient ??= compileAmbient(this.#mesh, this.workload, { semantics: "istio" });
    return this.#ambient;
  }
}

/** Of all workloads before which a proxy stands, waypoints apart. */
export function serverClasses({ mesh }: AuditContext): readonly ServerClass[] {
  const kept: ServerClass[] = [];
  const numbers = new Map<Resource, number>();
  const numberOf = (resource: Resource): number => {
    const known = numbers.get(resource) ?? numbers.size;
    numbers.set(resource, known);
    return known;
  };
  const classes = new Map<string, ServerClass>();
  const { rootNamespace } = mesh.config;
  for (const workload of mesh.workloads) {
    if (workload.role === "waypoint" || (workload.role === "application" && workload.dataplane === "none"))
      continue;
    const facts = {
      authorization: attachedPolicies(mesh.authorizationPolicies, workload, rootNamespace),
      tokens: attachedPolicies(mesh.requestAuthentications, workload, rootNamespace),
    };
    const transport = policiesFor(mesh.peerAuthentications, workload, rootNamespace);
    const policies = [...facts.authorization, ...facts.tokens, ...transport].map(numberOf);
    const key = `${policies.join()}\n${ownText(mesh, workload)}`;
    const known = classes.get(key);
    if (known === undefined) classes.set(key, new ServerClass(workload, facts, mesh, kept));
    else known.workloads.push(workload);
  }
  return [...classes.values()];
}

/** Gateways' listeners are their own matter: each is a class by itself. */
function ownText(mesh: Mesh, workload: Workload): string {
  const { role, key, namespace, dataplane, capture, annotations } = workload;
  if (role === "gateway") return key;
  const ports = [...compilePortProtocols(mesh, workload)];
  const isRoot = namespace === mesh.config.rootNamespace;
  return JSON.stringify([dataplane, isRoot, capture, ports, annotations["proxy.istio.io/config"]]);
}

/** The classes in which a policy has its say, by the policy. */
export function classesByPolicy(audit: AuditContext): ReadonlyMap<Resource, readonly ServerClass[]> {
  const found = new Map<Resource, ServerClass[]>();
  for (const one of audit.fact(serverClasses))
    for (const policy of [...one.authorization, ...one.tokens]) {
      const known = found.get(policy);
      if (known === undefined) found.set(policy, [one]);
      else known.push(one);
    }
  return found;
}
