import { join } from "node:path";
import type { CertificateAuthority } from "../identity/ca.ts";
import { JwtSvidKeys } from "../identity/jwt-svid/jwt-svid-keys.ts";
import type { PodAssignment } from "../substrate/assignment.ts";
import type { CertificateService } from "./certificate-service.ts";
import type { StateFolder } from "./state-folder.ts";
import { TrustBundles } from "./trust-bundle/trust-bundles.ts";
import type { WorkloadApi } from "./workload-api/workload-api.ts";

/** Which of them a mesh offers; by default none. */
export interface IdentityInterfaceChoice {
  /** The SPIFFE Workload API and Envoy's secret discovery, on a socket for each pod. */
  readonly workloadApi?: boolean;
  /** File that says who else than this mesh's proxies may ask the CA, and where (docs/ca-authentication.md). */
  readonly caAccess?: string;
}

export interface IdentityInterfacesOptions {
  readonly state: StateFolder;
  readonly ca: CertificateAuthority;
  readonly certificates: CertificateService;
  /** The pods that live now. */
  readonly pods: () => readonly PodAssignment[];
  readonly onWarning: (message: string) => void;
}

/** How often others should look for a newer bundle: far within the hour for which a new key for JWT-SVIDs does not sign yet. */
const REFRESH_HINT_SECONDS = 300;

/** What programs that are not ours are given identities and trust by. */
export class IdentityInterfaces {
  readonly bundles: TrustBundles;
  readonly #workloadApi: WorkloadApi | undefined;

  private constructor(bundles: TrustBundles, workloadApi: WorkloadApi | undefined) {
    this.bundles = bundles;
    this.#workloadApi = workloadApi;
  }

  /**
   * Opens what was chosen, and loads nothing else: gRPC alone takes more memory than the rest of this process.
   * @returns undefined where nothing was.
   * @throws {BulwarkError} BW_JWT_SVID_KEYS_DAMAGED, BW_KEYSTORE_….
   */
  static async open(
    choice: IdentityInterfaceChoice,
    options: IdentityInterfacesOptions,
  ): Promise<IdentityInterfaces | undefined> {
    if (choice.workloadApi !== true) return undefined;
    const { state, ca, certificates, pods, onWarning } = options;
    const jwtKeys = await JwtSvidKeys.open(join(state.root, "jwt-svid"));
    const bundles = new TrustBundles({
      trustDomain: ca.trustDomain,
      x509Authorities: () => ca.trustBundle,
      jwtKeys,
      file: join(state.root, "trust-bundle.json"),
      refreshHintSeconds: REFRESH_HINT_SECONDS,
      onWarning,
    });
    const { WorkloadApi } = await import("./workload-api/workload-api.ts");
    const api = new WorkloadApi({ state, certificates, pods, bundles, jwtKeys, clock: Date.now, onWarning });
    const own = new IdentityInterfaces(bundles, api);
    await own.podsChanged();
    return own;
  }

  /** Never rejects. */
  async podsChanged(): Promise<void> {
    await this.#workloadApi?.podsChanged();
  }

  async close(): Promise<void> {
    this.bundles.close();
    await this.#workloadApi?.close();
  }
}
