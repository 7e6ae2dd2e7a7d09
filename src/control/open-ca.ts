import { existsSync } from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";
import type { CertificateAuthority } from "../identity/ca.ts";
import { BINDING } from "../identity/store/bind-store.ts";
import { openCaStore } from "../identity/store/open-ca-store.ts";
import { parseTrustDomain } from "../model/spiffe-id.ts";
import { BulwarkError } from "../resources/bulwark-error.ts";
import { keyAlgorithmNotice, openConfiguredCa, readCaFlags } from "./ca-settings.ts";
import { warn } from "./child-life.ts";
import type { ControlProcessOptions } from "./control-plane.ts";
import { ReplicaRegister } from "./rotation/replica-register.ts";
import type { StateFolder } from "./state-folder.ts";

/**
 * The CA of a mesh, and its place among replicas where they share its records.
 * @throws {BulwarkError} BW_CA_…, BW_KEYSTORE_…, BW_TRUST_DOMAIN_INVALID.
 */
export async function openCa(
  state: StateFolder,
  options: Pick<ControlProcessOptions, "store" | "caSettings">,
  trustDomainName: string | undefined,
): Promise<{ readonly ca: CertificateAuthority; readonly replicas: ReplicaRegister | undefined }> {
  const trustDomain = parseTrustDomain(trustDomainName ?? "cluster.local");
  if (trustDomain === undefined)
    throw new BulwarkError("BW_TRUST_DOMAIN_INVALID", "the mesh's trustDomain is not a proper name");
  const store = options.store === undefined ? undefined : await openCaStore(options.store);
  const settings = readCaFlags(options.caSettings);
  const isNewFolder = !existsSync(join(state.caFolder, BINDING));
  const ca = await openConfiguredCa(state.root, trustDomain, settings, store);
  const notice = keyAlgorithmNotice(ca, settings);
  if (notice !== undefined) warn(notice);
  const replicas = store === undefined ? undefined : await joinReplicas(state, ca, isNewFolder);
  return { ca, replicas };
}

/** @throws {BulwarkError} BW_CA_REPLICA_BEHIND, BW_CA_STORE_… */
async function joinReplicas(
  state: StateFolder,
  ca: CertificateAuthority,
  isNewFolder: boolean,
): Promise<ReplicaRegister> {
  try {
    return await ReplicaRegister.join({
      store: ca.store,
      ca,
      place: `${hostname()}:${state.root}`,
      isNewFolder,
      onProblem: warn,
    });
  } catch (error) {
    await ca.close();
    throw error;
  }
}
