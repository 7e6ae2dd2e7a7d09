import { type ChildProcess, spawn } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import type { Credentials } from "../../src/attack/mesh-under-attack.ts";
import { stealIdentity } from "../../src/attack/stolen-identity.ts";
import { connectAdmin, dialControl } from "../../src/control/control-link.ts";
import type { StatusReport } from "../../src/control/messages.ts";
import { type StateFolder, stateFolderAt } from "../../src/control/state-folder.ts";
import { tokenFile } from "../../src/control/token-file.ts";
import type { Assignments, PodAssignment } from "../../src/substrate/assignment.ts";

const ROOT = resolve(import.meta.dirname, "../..");
const START_TIMEOUT_MS = 120_000;

/** One server and several clients, each of an account of its own, under STRICT. */
export class RevocationMesh {
  readonly state: StateFolder;
  readonly clients: readonly string[];
  readonly #up: ChildProcess;
  readonly #ended: Promise<void>;
  #pods: ReadonlyMap<string, PodAssignment> = new Map();

  constructor(folder: string, clients: number) {
    this.clients = Array.from({ length: clients }, (_, index) => `bank/client-${index}`);
    this.state = stateFolderAt(join(folder, "state"));
    const sources = join(folder, "mesh");
    mkdirSync(sources);
    writeFileSync(join(sources, "mesh.yaml"), manifests(this.clients));
    this.#up = spawn(
      join(ROOT, "bin/bulwark"),
      ["up", sources, "--quiet", "--substrate", "loopback", "--state", this.state.root],
      {
        stdio: ["ignore", "ignore", "ignore"],
      },
    );
    this.#ended = new Promise((done) => this.#up.once("exit", () => done()));
  }

  async ready(): Promise<void> {
    const until = performance.now() + START_TIMEOUT_MS;
    while (!(await this.#isReady())) {
      if (performance.now() > until || this.#up.exitCode !== null) throw new Error("the mesh did not start");
      await new Promise((done) => setTimeout(done, 200));
    }
  }

  pod(workload: string): PodAssignment {
    const pod = this.#pods.get(workload);
    if (pod === undefined) throw new Error(`no pod of ${workload}`);
    return pod;
  }

  /** As code in the pod can have it: with the token that lies there. */
  steal(workload: string): Promise<Credentials> {
    const token = readFileSync(tokenFile(this.state, `${workload}-0`), "utf8").trim();
    return stealIdentity(() => dialControl(this.state.controlSocket), token, this.pod(workload));
  }

  async stop(): Promise<void> {
    this.#up.kill("SIGINT");
    await this.#ended;
  }

  async #isReady(): Promise<boolean> {
    try {
      const admin = await connectAdmin(this.state);
      const assignments = (await admin.request("pods", {}, 5000)) as Assignments;
      const { pods } = (await admin.request("status", {}, 5000)) as StatusReport;
      admin.close();
      this.#pods = new Map(assignments.pods.map((pod) => [pod.workload, pod]));
      return pods.every(({ configurationVersion }) => configurationVersion > 0);
    } catch {
      return false;
    }
  }
}

function manifests(clients: readonly string[]): string {
  return [
    "apiVersion: v1\nkind: Namespace\nmetadata: {name: istio-system}\n",
    "apiVersion: v1\nkind: Namespace\nmetadata: {name: bank}\n",
    "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {name: default, namespace: istio-system}\nspec: {mtls: {mode: STRICT}}\n",
    "apiVersion: v1\nkind: Service\nmetadata: {name: ledger, namespace: bank}\nspec: {selector: {app: ledger}, ports: [{name: tcp, port: 9000}]}\n",
    deployment("ledger", 9000),
    ...clients.map((client) => deployment(client.slice("bank/".length), 8080)),
  ].join("---\n");
}

function deployment(name: string, port: number): string {
  return `apiVersion: apps/v1
kind: Deployment
metadata: {name: ${name}, namespace: bank}
spec:
  selector: {matchLabels: {app: ${name}}}
  template:
    metadata: {labels: {app: ${name}, sidecar.istio.io/inject: "true"}}
    spec: {serviceAccountName: ${name}, containers: [{name: app, image: app, ports: [{containerPort: ${port}}]}]}
`;
}
