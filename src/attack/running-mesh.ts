import { createPrivateKey } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { connectAdmin, dialControl } from "../control/control-link.ts";
import { simulatesExternal } from "../control/find-pod.ts";
import type { RpcPeer } from "../control/rpc.ts";
import { readJson, type StateFolder } from "../control/state-folder.ts";
import { tokenFile } from "../control/token-file.ts";
import { readPrivateKey } from "../identity/key-store.ts";
import { decodePem } from "../identity/pem.ts";
import { openTokenIssuer, type TokenRequest } from "../identity/service-account-token.ts";
import { type Signer, signerFrom } from "../identity/sign.ts";
import { buildMesh } from "../model/build-mesh.ts";
import type { FlowRecord } from "../model/flow-record.ts";
import type { Mesh } from "../model/mesh.ts";
import { BulwarkError } from "../resources/bulwark-error.ts";
import { fromWire, type WireResource } from "../resources/wire.ts";
import { type Assignments, type PodAssignment, podKey } from "../substrate/assignment.ts";
import { loopbackSubstrate } from "../substrate/loopback.ts";
import { STAND_IN_CA_FILE } from "../substrate/stand-in-authority.ts";
import type { FlowPage } from "../telemetry/flow-query.ts";
import type { Credentials, ImpostorStage, MeshUnderAttack } from "./mesh-under-attack.ts";
import { stealIdentity } from "./stolen-identity.ts";
import { WireOfMesh } from "./wire-of-mesh.ts";

export interface RunningMeshOptions {
  readonly signal: AbortSignal;
  readonly impostorStage?: ImpostorStage;
}

interface Kept {
  readonly credentials: Promise<Credentials>;
  readonly takenAtMs: number;
}

/** Certificates of a mesh under test can live for seconds: an attacker with the token gets a fresh one this often. */
const KEEP_MS = 3000;
const ADMIN_TIMEOUT_MS = 10_000;
const MAX_RECORDS = 10_000;

/** The mesh of a state folder, as attacks see it. Close it: it holds a connection to the control plane. */
export class RunningMeshUnderAttack implements MeshUnderAttack {
  readonly mesh: Mesh;
  readonly assignments: Assignments;
  readonly notCaptured: string | undefined;
  readonly standInCaPem: string | undefined;
  readonly impostorStage: ImpostorStage | undefined;
  readonly wire: WireOfMesh | undefined;
  readonly signal: AbortSignal;
  readonly logWaitMs: number;
  readonly #state: StateFolder;
  readonly #admin: RpcPeer;
  readonly #identities = new Map<string, Kept>();

  /** @throws {BulwarkError} BW_CONTROL_UNREACHABLE, BW_ADMIN_TOKEN, BW_ATTACK_NO_CONFIGURATION, BW_CLI_INPUT. */
  static async open(state: StateFolder, options: RunningMeshOptions): Promise<RunningMeshUnderAttack> {
    const admin = await connectAdmin(state);
    const assignments = (await admin.request("pods", {}, ADMIN_TIMEOUT_MS)) as Assignments | null;
    const stored = readJson(state.configuration) as { resources?: readonly WireResource[] } | undefined;
    if (assignments === null || stored?.resources === undefined) {
      admin.close();
      throw new BulwarkError("BW_ATTACK_NO_CONFIGURATION", "the mesh has no configuration in force yet");
    }
    if (assignments.substrate === "netns" && process.getuid?.() !== 0) {
      admin.close();
      throw new BulwarkError(
        "BW_CLI_INPUT",
        "attacks from inside of pods need root, as bringing them up did",
      );
    }
    return new RunningMeshUnderAttack(
      state,
      admin,
      assignments,
      buildMesh(fromWire(stored.resources)),
      options,
    );
  }

  constructor(
    state: StateFolder,
    admin: RpcPeer,
    assignments: Assignments,
    mesh: Mesh,
    options: RunningMeshOptions,
  ) {
    this.#state = state;
    this.#admin = admin;
    this.assignments = assignments;
    this.mesh = mesh;
    this.signal = options.signal;
    this.impostorStage = options.impostorStage;
    this.standInCaPem = simulatesExternal(assignments)
      ? readFileSync(join(state.standInFolder, STAND_IN_CA_FILE), "utf8")
      : undefined;
    this.wire = assignments.substrate === "netns" ? new WireOfMesh(state) : undefined;
    // Proxies hand their records on within 200 ms, the firewall's come every 500 ms and by way of nft; a busy machine takes longer.
    this.logWaitMs = assignments.substrate === "netns" ? 8000 : 1500;
    this.notCaptured =
      assignments.substrate === "netns"
        ? undefined
        : loopbackSubstrate({ meshId: state.root, simulateExternal: false, fresh: false }).cannotEnforce[0];
  }

  identityOf(pod: PodAssignment): Promise<Credentials> {
    const key = podKey(pod);
    const kept = this.#identities.get(key);
    if (kept !== undefined && Date.now() - kept.takenAtMs < KEEP_MS) return kept.credentials;
    const credentials = this.freshIdentityOf(pod);
    // A failure is for who asked; the next asks anew.
    credentials.catch(() => this.#identities.delete(key));
    this.#identities.set(key, { credentials, takenAtMs: Date.now() });
    return credentials;
  }

  freshIdentityOf(pod: PodAssignment): Promise<Credentials> {
    return stealIdentity(() => this.dialControl(), this.tokenOf(pod), pod);
  }

  async revokeCertificate(serial: string): Promise<void> {
    await this.#admin.request("ca.revoke", { serial, reason: "superseded" }, ADMIN_TIMEOUT_MS);
  }

  tokenOf(pod: PodAssignment): string {
    return readFileSync(tokenFile(this.#state, podKey(pod)), "utf8").trim();
  }

  async mintToken(
    request: TokenRequest,
    options: { issuer?: string; clock?: () => number } = {},
  ): Promise<string> {
    const issuer = await openTokenIssuer(this.#state.root, options);
    return issuer.mintToken(request);
  }

  caSigner(): Signer {
    const { intermediate } = (readJson(join(this.#state.caFolder, "ca.json")) ?? {}) as {
      intermediate?: string;
    };
    const file = (kind: string) =>
      join(this.#state.caFolder, `intermediate-${intermediate ?? ""}.${kind}.pem`);
    const key = readPrivateKey(file("key"));
    const [certificate] = decodePem("CERTIFICATE", readFileSync(file("crt"), "utf8"));
    if (key === undefined || certificate === undefined)
      throw new BulwarkError("BW_ATTACK_NO_CA", "the mesh's signing key is not in its state folder");
    return signerFrom(certificate, createPrivateKey(key.export({ type: "pkcs8", format: "pem" })));
  }

  dialControl(): Promise<RpcPeer> {
    // A proxy is sent its configuration at once and has to say that it took it.
    return dialControl(this.#state.controlSocket, { configure: () => ({ version: 0 }) });
  }

  async records(filter: readonly string[]): Promise<readonly FlowRecord[]> {
    const params = { filter, limit: MAX_RECORDS };
    const page = (await this.#admin.request("flows.query", params, ADMIN_TIMEOUT_MS)) as FlowPage;
    return page.flows.map(({ record }) => record);
  }

  close(): void {
    this.wire?.close();
    this.#admin.close();
  }
}
