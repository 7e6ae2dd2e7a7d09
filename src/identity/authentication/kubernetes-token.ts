import { type TrustDomain, workloadSpiffeId } from "../../model/spiffe-id.ts";
import { BulwarkError } from "../../resources/bulwark-error.ts";
import {
  CA_AUDIENCE,
  type TokenTrust,
  type VerifiedToken,
  verifyServiceAccountToken,
} from "../service-account-token.ts";
import type { LivePod, LivePods } from "./live-pods.ts";
import type { TokenAuthenticator } from "./token-authenticator.ts";
import type { TokenUses } from "./token-uses.ts";

/** Finds a token good, by whatever means, or throws BW_TOKEN_…. */
export type ServiceAccountTokenCheck = (jwt: string) => Promise<VerifiedToken>;

/** By the public keys of the cluster alone. What happened since the token was made, such as the end of its pod, only `livePods` can tell. */
export function offlineTokenCheck(
  trust: TokenTrust,
  audience: string = CA_AUDIENCE,
): ServiceAccountTokenCheck {
  return (jwt) => verifyServiceAccountToken(jwt, trust, { audience });
}

export interface KubernetesTokenOptions {
  readonly issuer: string;
  readonly trustDomain: TrustDomain;
  readonly check: ServiceAccountTokenCheck;
  /** The cluster's pods; undefined where nobody tells us: then a token is good until it ends, or the API server refuses it. */
  readonly livePods: LivePods | undefined;
  readonly uses: TokenUses | undefined;
  /** As a TokenAuthenticator has it. */
  readonly maxTtlSeconds?: number | undefined;
}

/** Service account tokens of one cluster: the identity is that of the account, in Istio's form. */
export function kubernetesTokenAuthenticator(options: KubernetesTokenOptions): TokenAuthenticator {
  const { issuer, trustDomain, check, livePods, uses } = options;
  return {
    issuer,
    uses,
    maxTtlSeconds: options.maxTtlSeconds,
    async authenticate(jwt) {
      const token = await check(jwt);
      const pod = livePods === undefined ? undefined : livePodOf(token, livePods());
      const { namespace, serviceAccount, tokenId, issuedAt, notAfter } = token;
      return {
        spiffeId: workloadSpiffeId(trustDomain, namespace, serviceAccount.name),
        method: "token",
        issuedAtMs: issuedAt.getTime(),
        notAfterMs: notAfter.getTime(),
        pod: { namespace, serviceAccount, pod: token.pod, node: token.node },
        tokenId,
        ownAddresses: pod?.addresses ?? [],
      };
    },
  };
}

/** @throws {BulwarkError} BW_TOKEN_POD_GONE */
function livePodOf({ namespace, serviceAccount, pod }: VerifiedToken, pods: readonly LivePod[]): LivePod {
  const live = pods.find((candidate) => candidate.uid === pod.uid && candidate.namespace === namespace);
  if (live?.name === pod.name && live.serviceAccount === serviceAccount.name) return live;
  throw new BulwarkError("BW_TOKEN_POD_GONE", "the pod that the token is bound to is gone");
}
