import { readFileSync } from "node:fs";
import { createLocalJWKSet, type JSONWebKeySet } from "jose";
import type { CallerAuthentication } from "../../identity/authentication/authenticate-caller.ts";
import {
  kubernetesTokenAuthenticator,
  offlineTokenCheck,
  type ServiceAccountTokenCheck,
} from "../../identity/authentication/kubernetes-token.ts";
import type { LivePods } from "../../identity/authentication/live-pods.ts";
import { oidcTokenAuthenticator } from "../../identity/authentication/oidc-token.ts";
import type { TokenAuthenticator } from "../../identity/authentication/token-authenticator.ts";
import { TokenReviewer } from "../../identity/authentication/token-review.ts";
import { TokenUses } from "../../identity/authentication/token-uses.ts";
import type { TokenTrust } from "../../identity/service-account-token.ts";
import type { TrustDomain } from "../../model/spiffe-id.ts";
import { BulwarkError } from "../../resources/bulwark-error.ts";
import type { CaRecords, CertificateLimits, CertificateServiceOptions } from "../certificate-service.ts";
import type { CaAccessConfiguration, ClusterAccess } from "./ca-access-configuration.ts";
import { OidcKeys, type OidcKeysOptions } from "./oidc-keys.ts";

export interface CaAccessOptions {
  readonly configuration: CaAccessConfiguration;
  readonly trustDomain: TrustDomain;
  /** The mesh's own token issuer. */
  readonly ownTokens: TokenTrust;
  /** Its pods. */
  readonly livePods: LivePods;
  readonly records: CaRecords;
  readonly oidcKeys: OidcKeysOptions;
}

/** Everything that can prove to the CA who somebody is, made of its configuration. */
export class CaAccess {
  readonly authentication: CallerAuthentication;
  readonly nodeAgents: CertificateServiceOptions["nodeAgents"];
  readonly limits: CertificateLimits;
  readonly #reviewers: readonly TokenReviewer[];
  readonly #keys: OidcKeys | undefined;

  /** @throws {BulwarkError} BW_CA_ACCESS_FILE when a file that the configuration names cannot be read. */
  constructor(options: CaAccessOptions) {
    const { configuration, trustDomain, ownTokens, livePods, records, oidcKeys } = options;
    const { clusters, oidc, nodeAgents, certificates, limits } = configuration;
    const { clock } = ownTokens;
    const reviewers: TokenReviewer[] = [];
    this.#reviewers = reviewers;
    this.#keys = oidc.length === 0 ? undefined : new OidcKeys(oidc, oidcKeys);
    const uses = () => (configuration.detectReplay ? new TokenUses({ singleUse: false }) : undefined);
    const own = kubernetesTokenAuthenticator({
      issuer: ownTokens.issuer,
      trustDomain,
      check: offlineTokenCheck(ownTokens),
      livePods,
      uses: uses(),
    });
    const others = clusters.map((cluster) =>
      kubernetesTokenAuthenticator({
        issuer: cluster.issuer,
        trustDomain,
        check: checkOf(cluster, clock, reviewers),
        livePods: undefined,
        uses: uses(),
        maxTtlSeconds: cluster.maxTtlSeconds,
      }),
    );
    // With others about we do not know every pod, and what we do not know may be running.
    const allPods = clusters.length + oidc.length === 0 ? livePods : undefined;
    this.authentication = {
      tokens: [own, ...others, ...this.#oidcAuthenticators(options, uses)],
      certificates: certificates
        ? { trustDomain, records, livePods: allPods, clock, maxTtlSeconds: leastTtl(configuration) }
        : undefined,
      records,
      clock,
    };
    this.nodeAgents = { accounts: new Set(nodeAgents), livePods };
    this.limits = limits;
  }

  close(): void {
    for (const reviewer of this.#reviewers) reviewer.close();
    this.#keys?.close();
  }

  #oidcAuthenticators(
    { configuration, ownTokens }: CaAccessOptions,
    uses: () => TokenUses | undefined,
  ): readonly TokenAuthenticator[] {
    const keys = this.#keys;
    if (keys === undefined) return [];
    return configuration.oidc.map((issuer) =>
      oidcTokenAuthenticator({
        ...issuer,
        keys: keys.keysOf(issuer),
        uses: issuer.singleUse ? new TokenUses({ singleUse: true }) : uses(),
        clock: ownTokens.clock,
      }),
    );
  }
}

/** Else a certificate that was given for an hour could be renewed for months. */
function leastTtl({ clusters, oidc }: CaAccessConfiguration): number | undefined {
  const limits = [...clusters, ...oidc].flatMap(({ maxTtlSeconds }) => maxTtlSeconds ?? []);
  return limits.length === 0 ? undefined : Math.min(...limits);
}

function checkOf(
  { issuer, audience, by }: ClusterAccess,
  clock: () => number,
  reviewers: TokenReviewer[],
): ServiceAccountTokenCheck {
  if (by.kind === "jwks") {
    const jwks = JSON.parse(readText(by.file)) as JSONWebKeySet;
    return offlineTokenCheck({ keys: createLocalJWKSet(jwks), issuer, clock }, audience);
  }
  // Now, so that a wrong path shows at the start and not at the first request.
  readText(by.caFile);
  readText(by.tokenFile);
  const { server, timeoutMs, cacheMs } = by;
  const reviewer = new TokenReviewer({
    server,
    issuer,
    audience,
    timeoutMs,
    cacheMs,
    clock,
    caPem: () => readText(by.caFile),
    ownToken: () => readText(by.tokenFile),
  });
  reviewers.push(reviewer);
  return reviewer.check;
}

function readText(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    throw new BulwarkError("BW_CA_ACCESS_FILE", `${path} cannot be read: ${code ?? "unknown"}`, { cause });
  }
}
