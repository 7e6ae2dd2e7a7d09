import { type ChildProcess, spawn } from "node:child_process";
import { generateKeyPairSync } from "node:crypto";
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { signWithToken } from "../../src/attack/stolen-identity.ts";
import { dialControl } from "../../src/control/control-link.ts";
import type { SignAnswer } from "../../src/control/messages.ts";
import { readRunBook } from "../../src/control/run-book.ts";
import { readJson, type StateFolder, stateFolderAt } from "../../src/control/state-folder.ts";
import { tokenFile } from "../../src/control/token-file.ts";
import { encodeCsr } from "../../src/identity/csr.ts";
import { type Assignments, type PodAssignment, podKey } from "../../src/substrate/assignment.ts";
import type { IdentityFiles, Subject } from "./subject.ts";
import { waitForPort } from "./wait-for-port.ts";

const ROOT = resolve(import.meta.dirname, "../..");
const START_TIMEOUT_MS = 30_000;

/** The real thing: `bulwark up` on mesh.yaml, with control, CA, flow log, and a sidecar before each server. */
export class BenchMesh {
  readonly #folder: string;
  readonly #state: StateFolder;
  readonly #up: ChildProcess;

  /** @param folder for its state and certificates; the state of an earlier run there is removed. */
  constructor(folder: string, loadProgram: string, substrate: "loopback" | "netns" = "loopback") {
    this.#folder = folder;
    this.#state = stateFolderAt(join(folder, substrate === "netns" ? "state-netns" : "state"));
    rmSync(this.#state.root, { recursive: true, force: true });
    const serve = `exec env GOMAXPROCS=1 '${loadProgram}' serve`;
    const own = ["--quiet", "--substrate", substrate, "--state", this.#state.root];
    const args = ["up", join(import.meta.dirname, "mesh.yaml"), "--substrate", "loopback", ...own];
    this.#up = spawn(
      join(ROOT, "bin/bulwark"),
      [...args, "--app", `bench/web=${serve}`, "--app", `bench/ledger=${serve}`],
      { stdio: ["ignore", "inherit", "inherit"], env: { ...process.env, GOMAXPROCS: "1" } },
    );
  }

  /** Resolves when the pods are there, and the servers in them were started. */
  async placed(): Promise<void> {
    const until = performance.now() + START_TIMEOUT_MS;
    const areStarted = (): boolean =>
      ["app bench/web", "app bench/ledger"].every(
        (name) => readRunBook(this.#state)?.children.some((child) => child.name === name) === true,
      );
    while (readJson(this.#state.assignments) === undefined || !areStarted()) {
      if (performance.now() > until || this.#up.exitCode !== null) throw new Error("the mesh did not start");
      await new Promise((done) => setTimeout(done, 100));
    }
  }

  /** Resolves when both sidecars and the servers behind them listen. */
  async ready(): Promise<void> {
    await this.placed();
    for (const pod of ["bench/web", "bench/ledger"].map((name) => this.pod(name))) {
      for (const { port, host, socketPort } of pod.applicationPorts) {
        await waitForPort(host, socketPort, START_TIMEOUT_MS);
        await waitForPort(pod.address, port, START_TIMEOUT_MS);
      }
    }
  }

  subject(): Subject {
    const web = this.pod("bench/web").address;
    const ledger = this.pod("bench/ledger").address;
    return {
      name: "bulwark",
      addresses: { http1: `${web}:8080`, http2: `${web}:8081`, tcp: `${ledger}:9000` },
      pids: { http: this.pid("proxy bench/web"), tcp: this.pid("proxy bench/ledger") },
      logPid: this.pid("control"),
    };
  }

  /** Where the server behind a container's port listens. */
  upstream(pod: string, port: number): { readonly host: string; readonly port: number } {
    const found = this.pod(pod).applicationPorts.find((candidate) => candidate.port === port);
    if (found === undefined) throw new Error(`${pod} has no port ${port}`);
    return { host: found.host, port: found.socketPort };
  }

  /** Has the mesh's CA sign a new key for a pod's identity, and writes both to files. */
  async identity(pod: string): Promise<IdentityFiles> {
    const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
    const answer = await this.#sign(pod, encodeCsr(privateKey));
    const at = (suffix: string) => join(this.#folder, `${pod.replace("/", ".")}.${suffix}.pem`);
    const files = { cert: at("cert"), key: at("key"), trustBundle: at("ca") };
    writeFileSync(files.key, privateKey.export({ type: "pkcs8", format: "pem" }), { mode: 0o600 });
    writeFileSync(files.cert, answer.chainPem);
    writeFileSync(files.trustBundle, answer.trustBundlePem);
    return files;
  }

  async stop(): Promise<void> {
    if (this.#up.exitCode !== null || this.#up.signalCode !== null) return;
    const gone = new Promise((done) => this.#up.once("exit", done));
    this.#up.kill("SIGTERM");
    await gone;
  }

  #sign(pod: string, csr: Buffer): Promise<SignAnswer> {
    const token = readFileSync(tokenFile(this.#state, pod), "utf8").trim();
    return signWithToken(() => dialControl(this.#state.controlSocket, {}), token, csr);
  }

  get assignments(): Assignments {
    return readJson(this.#state.assignments) as Assignments;
  }

  pod(name: string): PodAssignment {
    const { pods } = this.assignments;
    const pod = pods.find((candidate) => podKey(candidate) === name);
    if (pod === undefined) throw new Error(`the mesh has no pod ${name}`);
    return pod;
  }

  /** @param name as in the run book: `control`, `proxy bench/web` */
  pid(name: string): number {
    const child = readRunBook(this.#state)?.children.find((candidate) => candidate.name.startsWith(name));
    if (child === undefined) throw new Error(`the mesh has no process ${name}`);
    return child.pid;
  }
}
