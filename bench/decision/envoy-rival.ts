import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { Agent, request } from "node:http";
import { createServer } from "node:net";
import { join } from "node:path";
import { cpuNanos } from "../dataplane/cpu-time.ts";
import { installEnvoy } from "../dataplane/envoy.ts";
import { waitForPort } from "../dataplane/wait-for-port.ts";
import { rbacBootstrap } from "./envoy-rbac.ts";
import type { Contender, Rival, Run } from "./rival.ts";
import type { BenchRequest, BenchWorkload } from "./workload.ts";

const START_TIMEOUT_MS = 60_000;
const CLIENTS = 4;

/**
 * Envoy with two listeners that differ in the number of rules alone: what deciding costs is a request's processor time with all of
 * them less that with one.
 */
class EnvoyRival implements Rival {
  readonly #child: ChildProcess;
  readonly #many: number;
  readonly #one: number;
  readonly #requests: readonly BenchRequest[];
  readonly #agent = new Agent({ keepAlive: true, maxSockets: CLIENTS });

  constructor(child: ChildProcess, many: number, one: number, requests: readonly BenchRequest[]) {
    this.#child = child;
    this.#many = many;
    this.#one = one;
    this.#requests = requests;
  }

  async answers(count: number): Promise<readonly ("allow" | "deny")[]> {
    const statuses = await this.#send(this.#many, count);
    return statuses.map((status) => (status === 200 ? "allow" : "deny"));
  }

  async run(count: number): Promise<Run> {
    const many = await this.#cpuOf(this.#many, count);
    const one = await this.#cpuOf(this.#one, count);
    return { nanos: many - one };
  }

  async stop(): Promise<void> {
    this.#agent.destroy();
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const gone = once(this.#child, "exit");
    this.#child.kill("SIGKILL");
    await gone;
  }

  async #cpuOf(port: number, count: number): Promise<number> {
    const pid = this.#child.pid ?? 0;
    const before = cpuNanos(pid);
    await this.#send(port, count);
    return cpuNanos(pid) - before;
  }

  async #send(port: number, count: number): Promise<number[]> {
    const statuses = new Array<number>(count).fill(0);
    let next = 0;
    const client = async (): Promise<void> => {
      for (let at = next++; at < count; at = next++) {
        const asked = this.#requests[at % this.#requests.length];
        if (asked !== undefined) statuses[at] = await this.#ask(port, asked);
      }
    };
    await Promise.all(Array.from({ length: CLIENTS }, client));
    return statuses;
  }

  #ask(port: number, { principal, method, path, role, group }: BenchRequest): Promise<number> {
    const headers = { "x-principal": principal, "x-role": role, "x-group": group, host: "shop" };
    return new Promise((resolve, reject) => {
      request({ agent: this.#agent, host: "127.0.0.1", port, method, path, headers }, (response) => {
        response.resume().once("end", () => resolve(response.statusCode ?? 0));
      })
        .once("error", reject)
        .end();
    });
  }
}

export function makeEnvoyRival(cache: string): Contender["start"] {
  const binary = installEnvoy(join(cache, ".."));
  return async ({ rules, requests }: BenchWorkload, folder: string) => {
    const [many, one] = [await freePort(), await freePort()];
    const config = join(folder, "envoy.json");
    const last = rules.at(-1);
    writeFileSync(
      config,
      JSON.stringify(
        rbacBootstrap([
          { port: many, rules },
          { port: one, rules: last === undefined ? [] : [last] },
        ]),
      ),
    );
    const args = ["-c", config, "--concurrency", "1", "--disable-hot-restart", "--log-level", "error"];
    const child = spawn(binary, args, { stdio: ["ignore", "inherit", "inherit"] });
    await Promise.all([many, one].map((port) => waitForPort("127.0.0.1", port, START_TIMEOUT_MS)));
    return new EnvoyRival(child, many, one, requests);
  };
}

/** A port that was free a moment ago: nothing else on the machine is told of it. */
function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer().once("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const address = server.address();
      server.close(() => resolve(typeof address === "object" && address !== null ? address.port : 0));
    });
  });
}
