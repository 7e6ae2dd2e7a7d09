import { join } from "node:path";
import type { CertificateAuthority } from "../identity/ca.ts";
import { JwtSvidKeys } from "../identity/jwt-svid/jwt-svid-keys.ts";
import { ensurePrivateFolder } from "../identity/key-store.ts";
import { encodePem } from "../identity/pem.ts";
import type { TrustDomain } from "../model/spiffe-id.ts";
import { BulwarkError } from "../resources/bulwark-error.ts";
import { type PodAssignment, podKey } from "../substrate/assignment.ts";
import type { CertificateService } from "./certificate-service.ts";
import type { FederatedRoots } from "./messages.ts";
import type { StateFolder } from "./state-folder.ts";
import { readToken } from "./token-file.ts";
import type { BundleEndpoint } from "./trust-bundle/bundle-endpoint.ts";
import type { BundleFollower } from "./trust-bundle/bundle-follower.ts";
import {
  type FederatedDomain,
  parseBundleEndpoint,
  parseFederation,
} from "./trust-bundle/federation-option.ts";
import { TrustBundles } from "./trust-bundle/trust-bundles.ts";
import type { WorkloadApi } from "./workload-api/workload-api.ts";

/** Which of them a mesh offers; by default none. */
export interface IdentityInterfaceChoice {
  /** The SPIFFE Workload API and Envoy's secret discovery, on a socket for each pod. */
  readonly workloadApi?: boolean;
  /** File that says who else than this mesh's proxies may ask the CA, and where (docs/ca-authentication.md). */
  readonly caAccess?: string;
  /** Where the mesh's own trust bundle is served; as `--bundle-endpoint` is written. */
  readonly bundleEndpoint?: string;
  /** Other meshes whose workloads may be talked to; each as `--federate` is written. */
  readonly federate?: readonly string[];
}

export interface IdentityInterfacesOptions {
  readonly state: StateFolder;
  readonly ca: CertificateAuthority;
  readonly certificates: CertificateService;
  /** Of certificates; 0: the CA's default. */
  readonly ttlSeconds: number;
  /** The pods that live now. */
  readonly pods: () => readonly PodAssignment[];
  /** `federatedRoots` has changed. */
  readonly onFederatedRoots: () => void;
  readonly onWarning: (message: string) => void;
}

/** How often others should look for a newer bundle: far within the hour for which a new key for JWT-SVIDs does not sign yet. */
const REFRESH_HINT_SECONDS = 300;

interface Parts {
  readonly domains: readonly FederatedDomain[];
  readonly followers: readonly BundleFollower[];
  readonly endpoint: BundleEndpoint | undefined;
  readonly workloadApi: WorkloadApi | undefined;
}

/** What programs that are not ours are given identities and trust by, and what trust in others' programs comes by. */
export class IdentityInterfaces {
  readonly bundles: TrustBundles;
  readonly #parts: Parts;

  private constructor(bundles: TrustBundles, parts: Parts) {
    this.bundles = bundles;
    this.#parts = parts;
  }

  /**
   * Opens what was chosen, and loads nothing else: gRPC takes 21 MB and 60 ms of processor time.
   * @returns undefined where nothing was.
   * @throws {BulwarkError} BW_CLI_INPUT, BW_JWT_SVID_KEYS_DAMAGED, BW_KEYSTORE_…, BW_TRUST_BUNDLE_…, BW_BUNDLE_ENDPOINT.
   */
  static async open(
    choice: IdentityInterfaceChoice,
    options: IdentityInterfacesOptions,
  ): Promise<IdentityInterfaces | undefined> {
    const domains = parseFederation(choice.federate ?? []);
    refuseOwnDomain(domains, options.ca.trustDomain);
    const isUsed = choice.workloadApi === true || choice.bundleEndpoint !== undefined || domains.length > 0;
    if (!isUsed) return undefined;
    const { state, ca, onWarning } = options;
    const signsTokens = choice.workloadApi === true || choice.bundleEndpoint !== undefined;
    const jwtKeys = signsTokens ? await JwtSvidKeys.open(join(state.root, "jwt-svid")) : undefined;
    const bundles = new TrustBundles({
      trustDomain: ca.trustDomain,
      x509Authorities: () => ca.trustBundle,
      jwtKeys,
      file: join(state.root, "trust-bundle-sequence.json"),
      documentFile: join(state.root, "trust-bundle.json"),
      refreshHintSeconds: REFRESH_HINT_SECONDS,
      onWarning,
    });
    bundles.watch((change) => {
      if (change === "federated") options.onFederatedRoots();
    });
    const followers = await follow(domains, bundles, options);
    const endpoint = await openEndpoint(choice.bundleEndpoint, bundles, options);
    const workloadApi =
      choice.workloadApi === true && jwtKeys !== undefined
        ? await openWorkloadApi(bundles, jwtKeys, options)
        : undefined;
    return new IdentityInterfaces(bundles, { domains, followers, endpoint, workloadApi });
  }

  /** What proxies verify workloads of other trust domains by. A domain whose bundle was never had has no roots: nobody of it is believed. */
  get federatedRoots(): readonly FederatedRoots[] {
    return this.#parts.domains.map(({ trustDomain }) => {
      const roots = this.bundles.federated.get(trustDomain)?.x509Authorities ?? [];
      return { trustDomain, rootsPem: roots.map((der) => encodePem("CERTIFICATE", der)).join("") };
    });
  }

  /** Never rejects. */
  async podsChanged(): Promise<void> {
    await this.#parts.workloadApi?.podsChanged();
  }

  async close(): Promise<void> {
    const { followers, endpoint, workloadApi } = this.#parts;
    for (const follower of followers) follower.stop();
    this.bundles.close();
    await endpoint?.close();
    await workloadApi?.close();
  }
}

function refuseOwnDomain(domains: readonly FederatedDomain[], own: TrustDomain): void {
  if (domains.every(({ trustDomain }) => trustDomain !== own)) return;
  throw new BulwarkError("BW_CLI_INPUT", `--federate names the mesh's own trust domain \`${own}\``);
}

async function follow(
  domains: readonly FederatedDomain[],
  bundles: TrustBundles,
  { state, onWarning }: IdentityInterfacesOptions,
): Promise<readonly BundleFollower[]> {
  if (domains.length === 0) return [];
  const { BundleFollower } = await import("./trust-bundle/bundle-follower.ts");
  const folder = join(state.root, "federation");
  ensurePrivateFolder(folder);
  const onBundle = bundles.setFederated.bind(bundles);
  return domains.map((domain) => {
    const follower = new BundleFollower({ domain, folder, onBundle, onWarning });
    follower.start();
    return follower;
  });
}

async function openEndpoint(
  text: string | undefined,
  bundles: TrustBundles,
  { ca, ttlSeconds, onWarning }: IdentityInterfacesOptions,
): Promise<BundleEndpoint | undefined> {
  if (text === undefined) return undefined;
  const { BundleEndpoint } = await import("./trust-bundle/bundle-endpoint.ts");
  return BundleEndpoint.open({ ...parseBundleEndpoint(text), bundles, ca, ttlSeconds, onWarning });
}

async function openWorkloadApi(
  bundles: TrustBundles,
  jwtKeys: JwtSvidKeys,
  { state, certificates, pods, onWarning }: IdentityInterfacesOptions,
): Promise<WorkloadApi> {
  const { WorkloadApi } = await import("./workload-api/workload-api.ts");
  const tokenOf = (pod: PodAssignment) => readToken(state, podKey(pod));
  const standing = {
    sign: (csr: Buffer, pod: PodAssignment) => certificates.signAttested(csr, pod, () => tokenOf(pod)),
    check: async (pod: PodAssignment) => certificates.authenticate(tokenOf(pod)),
  };
  const api = new WorkloadApi({ state, standing, pods, bundles, jwtKeys, clock: Date.now, onWarning });
  await api.podsChanged();
  return api;
}
