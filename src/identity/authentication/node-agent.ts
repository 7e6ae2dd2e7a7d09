import { parseSpiffeId, type SpiffeId, type TrustDomain } from "../../model/spiffe-id.ts";
import { BulwarkError, type BulwarkErrorCode } from "../../resources/bulwark-error.ts";
import type { AuthenticatedCaller } from "./caller.ts";
import type { LivePod, LivePods } from "./live-pods.ts";

export interface NodeAgentOptions {
  /** `namespace/service account` of those that may ask for others, as ztunnel does; empty: nobody (Istio: CA_TRUSTED_NODE_ACCOUNTS). */
  readonly accounts: ReadonlySet<string>;
  readonly trustDomain: TrustDomain;
  readonly livePods: LivePods | undefined;
}

/**
 * Whether a node agent may have a certificate for another identity: only for one of which a pod lives on the agent's own node.
 * Istio compares namespace and account only; here the trust domain counts too.
 * @returns the identity that was asked for.
 * @throws {BulwarkError} BW_CA_IMPERSONATION_NOT_ALLOWED, BW_CA_IMPERSONATION_INVALID, BW_CA_IMPERSONATION_FOREIGN,
 * BW_CA_IMPERSONATION_NODE.
 * @see Istio, security/pkg/server/ca/node_auth.go
 */
export function authorizeImpersonation(
  caller: AuthenticatedCaller,
  requested: string,
  options: NodeAgentOptions,
): SpiffeId {
  const pods = options.livePods?.() ?? [];
  const node = agentNode(caller, pods, options.accounts);
  const parsed = parseSpiffeId(requested);
  if (parsed?.namespace === undefined || parsed.serviceAccount === undefined)
    refuse("BW_CA_IMPERSONATION_INVALID", "what a node agent asks for is not a workload's identity");
  if (parsed.trustDomain !== options.trustDomain)
    refuse("BW_CA_IMPERSONATION_FOREIGN", "a node agent asks for an identity of another trust domain");
  const { namespace, serviceAccount } = parsed;
  const runsHere = pods.some(
    (pod) => pod.node === node && pod.namespace === namespace && pod.serviceAccount === serviceAccount,
  );
  if (!runsHere) refuse("BW_CA_IMPERSONATION_NODE", "no pod of that identity runs on the node agent's node");
  return parsed.id;
}

/** The node of an agent that may speak for others: of its own live pod, which the token's node must not contradict. */
function agentNode(
  { pod, method }: AuthenticatedCaller,
  pods: readonly LivePod[],
  accounts: ReadonlySet<string>,
): string {
  const isAgent = pod !== undefined && accounts.has(`${pod.namespace}/${pod.serviceAccount.name}`);
  if (method !== "token" || !isAgent)
    refuse("BW_CA_IMPERSONATION_NOT_ALLOWED", "the caller may not ask for the identity of others");
  const own = pods.find(({ uid, namespace }) => uid === pod.pod.uid && namespace === pod.namespace);
  const isSame = own?.name === pod.pod.name && own.serviceAccount === pod.serviceAccount.name;
  if (!isSame || own.node === undefined)
    refuse("BW_CA_IMPERSONATION_NODE", "the node of the node agent's pod is not known");
  if (pod.node !== undefined && pod.node !== own.node)
    refuse("BW_CA_IMPERSONATION_NODE", "the node agent's token names another node than its pod's");
  return own.node;
}

function refuse(code: BulwarkErrorCode, message: string): never {
  throw new BulwarkError(code, message);
}
