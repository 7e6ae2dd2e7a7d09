/** A live Envoy, configured by the product from the case's mesh. */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { AccessLogLine } from "../../src/control/envoy/access-log.ts";
import type { IdentityFiles } from "../../src/control/envoy/downstream-tls.ts";
import { inboundListener } from "../../src/control/envoy/inbound-listener.ts";
import { authorityOf } from "../corpus/live-proxy.ts";
import type { Application } from "./application.ts";
import { EnvoyProcess } from "./envoy-process.ts";
import { gatewayListeners } from "./gateway-listeners.ts";
import { CASE_PORTS, type CaseMesh } from "./materialize.ts";
import type { ConnectionRecord, RequestRecord } from "./proxied.ts";
import { connectionKey } from "./wire.ts";

export class EnvoySubject {
  readonly #envoy: EnvoyProcess;
  readonly #folder: string;
  readonly #log: string;
  readonly #identities = new Map<string, IdentityFiles>();
  #served = 0;

  private constructor(envoy: EnvoyProcess, folder: string) {
    this.#envoy = envoy;
    this.#folder = folder;
    this.#log = join(folder, "access.log");
  }

  static async start(folder: string, application: Application): Promise<EnvoySubject> {
    const envoy = await EnvoyProcess.start(folder, { host: "127.0.0.1", port: application.port });
    return new EnvoySubject(envoy, folder);
  }

  /** From now on this mesh's policies hold, at an address of its own: listeners that go take a while to. */
  async serve(meshAt: (address: string) => CaseMesh): Promise<{ address: string } & CaseMesh> {
    const address = this.#nextAddress();
    const served = meshAt(address);
    const identity = await this.#identity(served.mesh.config.trustDomain);
    const options = { name: address, address, identity, accessLog: this.#log };
    const listeners =
      served.workload.role === "gateway"
        ? gatewayListeners(served.mesh, served.workload, { ...options, cluster: "application" })
        : [
            inboundListener(served.mesh, served.workload, {
              ...options,
              ports: CASE_PORTS,
              clusterOf: () => "application",
            }),
          ];
    await this.#envoy.serve(listeners);
    return { address, ...served };
  }

  /** What was logged since the last call with `forget`. By the connection's key. */
  records(): Map<string, ConnectionRecord> {
    const text = existsSync(this.#log) ? readFileSync(this.#log, "utf8") : "";
    const lines = text
      .slice(0, text.lastIndexOf("\n") + 1)
      .split("\n")
      .filter((line) => line !== "")
      .map((line) => JSON.parse(line) as AccessLogLine);
    const records = new Map<
      string,
      { requests: RequestRecord[]; connection: ConnectionRecord["connection"] }
    >();
    for (const line of lines) {
      const key = keyOf(line);
      const record = records.get(key) ?? { requests: [], connection: undefined };
      records.set(key, record);
      if (line.kind === "request") record.requests.push(requestRecord(line));
      else record.connection = connectionRecord(line);
    }
    return records;
  }

  forget(): void {
    writeFileSync(this.#log, "");
  }

  stop(): void {
    this.#envoy.stop();
  }

  async #identity(trustDomain: string): Promise<IdentityFiles> {
    const known = this.#identities.get(trustDomain);
    if (known !== undefined) return known;
    const { forge } = await authorityOf(trustDomain);
    const own = forge.pem([`spiffe://${trustDomain}/ns/foo/sa/httpbin`]);
    const file = (name: string, text: string): string => {
      const path = join(this.#folder, `${trustDomain}-${name}.pem`);
      writeFileSync(path, text, { mode: 0o600 });
      return path;
    };
    const files = {
      certificateChain: file("chain", own.certificateChain),
      privateKey: file("key", own.privateKey),
      trustBundle: file("roots", forge.rootPem),
    };
    this.#identities.set(trustDomain, files);
    return files;
  }

  #nextAddress(): string {
    this.#served = (this.#served + 1) % 60_000;
    return `10.20.${Math.floor(this.#served / 250)}.${(this.#served % 250) + 1}`;
  }
}

function keyOf({ peer, local }: AccessLogLine): string {
  const [address = "", port = ""] = peer.split(":");
  return connectionKey(address, Number(port), Number(local.split(":")[1]));
}

function requestRecord(line: AccessLogLine): RequestRecord {
  const details = line.details ?? "";
  const rule = details.startsWith("rbac_access_denied")
    ? details
    : details.startsWith("ext_authz") || details === BODY_TOO_LARGE
      ? line.askedBy
      : line.allowedBy;
  return { reason: requestReason(details, line.status), rule: ruleOf(rule) };
}

const BODY_TOO_LARGE = "request_payload_too_large";

function requestReason(details: string, status: number): string {
  if (details.startsWith("rbac_access_denied")) return "rbac";
  // Only who shows bodies to an authorizer holds them.
  if (details.startsWith("ext_authz") || details === BODY_TOO_LARGE) return "ext-authz";
  if (details.startsWith("jwt_authn")) return "jwt";
  if (status === 404) return "route";
  return status === 400 ? "bad-request" : details;
}

function connectionRecord(line: AccessLogLine): ConnectionRecord["connection"] {
  const terminated = line.terminated ?? "";
  if (terminated.startsWith("rbac_access_denied")) return { refusal: "rbac", rule: ruleOf(terminated) };
  if ((line.flags ?? "").split(",").includes("UAEX"))
    return { refusal: "ext-authz", rule: ruleOf(line.askedBy) };
  if ((line.flags ?? "").split(",").includes("NR")) return { refusal: "no-chain", rule: null };
  // Envoy connects to the application before the handshake is done. The inspector, too, notes what is no TLS, with a bar.
  if ((line.tlsFailure ?? "").startsWith("TLS_error:")) return { refusal: "tls", rule: null };
  if (line.upstream !== null) return { refusal: null, rule: ruleOf(line.allowedBy) };
  return { refusal: `unknown: ${JSON.stringify(line)}`, rule: null };
}

/** `ns[foo]-policy[p1]-rule[0]` as `foo/p1#0`. */
function ruleOf(text: string | null): string | null {
  const match = /ns\[(.+?)\]-policy\[(.+?)\]-rule\[(\d+)\]/.exec(text ?? "");
  return match === null ? null : `${match[1]}/${match[2]}#${match[3]}`;
}
