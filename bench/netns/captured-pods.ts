/** The pods of a mesh on network namespaces, whose captured traffic is given now to our sidecars, now to Envoy, now to none. */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { chownSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import {
  CAPTURED_INBOUND_PORT,
  CAPTURED_OUTBOUND_PORT,
  PROXY_UID,
} from "../../src/dataplane/capture/captured-ports.ts";
import type { PodAssignment, PodNetwork } from "../../src/substrate/assignment.ts";
import { captureRules } from "../../src/substrate/netns/capture-rules.ts";
import { NETNS_FOLDER } from "../../src/substrate/netns/names.ts";
import type { BenchMesh } from "../dataplane/mesh.ts";
import type { IdentityFiles } from "../dataplane/subject.ts";
import {
  clientBootstrap,
  ENVOY_INBOUND_PORT,
  ENVOY_OUTBOUND_PORT,
  type Server,
  serverBootstrap,
} from "./envoy-sidecars.ts";

export const CLIENT = "bench/client";
export const SERVERS = ["bench/web", "bench/ledger"] as const;
const PODS = [CLIENT, ...SERVERS] as const;
export type PodName = (typeof PODS)[number];
export type Capturer = "bulwark" | "Envoy" | "no proxy";

export class CapturedPods {
  readonly #mesh: BenchMesh;
  readonly #envoys = new Map<PodName, ChildProcess>();

  constructor(mesh: BenchMesh) {
    this.#mesh = mesh;
  }

  network(pod: PodName): PodNetwork {
    const { network } = this.#mesh.pod(pod);
    if (network === undefined) throw new Error(`${pod} is no network namespace`);
    return network;
  }

  /** How a program is started in a pod as its application, or as its proxy. */
  inside(pod: PodName, user: "application" | "proxy"): readonly string[] {
    const { namespace, firstUid, applicationUid } = this.network(pod);
    const uid = String(firstUid + (user === "proxy" ? PROXY_UID : applicationUid));
    const enter = ["nsenter", `--net=${NETNS_FOLDER}/${namespace}`, "--"];
    return [...enter, "setpriv", `--reuid=${uid}`, `--regid=${uid}`, "--clear-groups", "--"];
  }

  /** The same rules for each, but for the ports that they lead to; those of no proxy lead nowhere. */
  giveTo(capturer: Capturer): void {
    for (const pod of PODS) {
      const { namespace, interception } = this.network(pod);
      const rules = captureRules(capturer === "no proxy" ? undefined : interception);
      const theirs = rules
        .replaceAll(`:${CAPTURED_INBOUND_PORT}`, `:${ENVOY_INBOUND_PORT}`)
        .replaceAll(`:${CAPTURED_OUTBOUND_PORT}`, `:${ENVOY_OUTBOUND_PORT}`);
      execFileSync("nsenter", [`--net=${NETNS_FOLDER}/${namespace}`, "--", "nft", "-f", "-"], {
        input: capturer === "Envoy" ? theirs : rules,
      });
    }
  }

  /** An Envoy in each pod, as the pod's proxy, with a certificate of the mesh for the pod's account. */
  async startEnvoys(binary: string, folder: string): Promise<void> {
    const [web, ledger] = SERVERS.map((pod) => this.#mesh.pod(pod)) as [PodAssignment, PodAssignment];
    const servers: Record<(typeof SERVERS)[number], Server> = {
      "bench/web": { address: web.address, spiffeId: web.spiffeId, kinds: ["http1", "http2"] },
      "bench/ledger": { address: ledger.address, spiffeId: ledger.spiffeId, kinds: ["tcp"] },
    };
    for (const pod of PODS) {
      const identity = await this.#identity(pod);
      const bootstrap =
        pod === CLIENT
          ? clientBootstrap(identity, Object.values(servers))
          : serverBootstrap(identity, servers[pod]);
      const config = join(folder, `netns.${pod.replace("/", ".")}.json`);
      writeFileSync(config, JSON.stringify(bootstrap));
      const options = ["--concurrency", "1", "--disable-hot-restart", "--log-level", "error"];
      const [command = "", ...args] = [...this.inside(pod, "proxy"), binary, "-c", config, ...options];
      this.#envoys.set(pod, spawn(command, args, { stdio: ["ignore", "inherit", "inherit"] }));
    }
  }

  /** The processes of a capturer whose time counts: the client's side and the server's. */
  pids(capturer: Capturer, server: PodName): readonly number[] {
    const own = [CLIENT, server] as const;
    switch (capturer) {
      case "bulwark":
        return own.map((pod) => this.#mesh.pid(`proxy ${pod}`));
      case "Envoy":
        return own.map((pod) => this.#envoys.get(pod)?.pid ?? 0);
      case "no proxy":
        return [];
    }
  }

  async stop(): Promise<void> {
    const running = [...this.#envoys.values()].filter(
      ({ exitCode, signalCode }) => exitCode === null && signalCode === null,
    );
    await Promise.all(
      running.map((child) => {
        const gone = new Promise((done) => child.once("exit", done));
        child.kill("SIGKILL");
        return gone;
      }),
    );
  }

  /** Readable for the pod's proxy, which is nobody on the machine. */
  async #identity(pod: PodName): Promise<IdentityFiles> {
    const files = await this.#mesh.identity(pod);
    const uid = this.network(pod).firstUid + PROXY_UID;
    chownSync(files.key, uid, uid);
    return files;
  }
}
