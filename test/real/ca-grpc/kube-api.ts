/** A real kube-apiserver on a real etcd, on this machine alone. */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, mkdirSync, openSync, readFileSync, writeFileSync } from "node:fs";
import { request } from "node:https";
import { join, resolve } from "node:path";
import { until } from "../live-mesh.ts";
import { program, run } from "../programs.ts";

export const KUBE_APISERVER = resolve(
  import.meta.dirname,
  "../../../.cache/kube-apiserver/kube-apiserver-1.36.0",
);
const READY_MS = 300_000;
const ADMIN = "admin-of-the-test";
/** The user as whom the CA asks for reviews, and nothing else. */
export const REVIEWER = "reviewer-of-the-test";

export interface KubePorts {
  readonly api: number;
  readonly etcd: number;
  readonly etcdPeers: number;
}

export class KubeApi {
  readonly caFile: string;
  readonly reviewerTokenFile: string;
  readonly issuer = "https://kubernetes.default.svc.cluster.local";
  readonly #folder: string;
  readonly #ports: KubePorts;
  readonly #children: ChildProcess[] = [];

  private constructor(folder: string, ports: KubePorts) {
    this.#folder = folder;
    this.#ports = ports;
    this.caFile = join(folder, "ca.crt");
    this.reviewerTokenFile = join(folder, "reviewer-token");
  }

  static async start(folder: string, ports: KubePorts): Promise<KubeApi> {
    assert.ok(
      existsSync(KUBE_APISERVER),
      `${KUBE_APISERVER} is not there: .ci/run builds it, 9 minutes of processor time`,
    );
    const api = new KubeApi(folder, ports);
    try {
      await api.#start();
    } catch (error) {
      await api.stop();
      throw error;
    }
    return api;
  }

  get url(): string {
    return `https://127.0.0.1:${this.#ports.api}`;
  }

  /** @returns what the API answers; fails for anything but success. */
  async call(method: string, path: string, body?: unknown): Promise<Record<string, unknown>> {
    const { status, text } = await this.#ask(method, path, body);
    assert.ok(status >= 200 && status < 300, `${method} ${path}: ${status} ${text}`);
    return JSON.parse(text) as Record<string, unknown>;
  }

  /** A token of the TokenRequest API. */
  async token(
    account: string,
    spec: Readonly<Record<string, unknown>>,
    namespace = "finance",
  ): Promise<string> {
    const path = `/api/v1/namespaces/${namespace}/serviceaccounts/${account}/token`;
    const body = { apiVersion: "authentication.k8s.io/v1", kind: "TokenRequest", spec };
    const { status } = await this.call("POST", path, body);
    return (status as { token: string }).token;
  }

  async stop(): Promise<void> {
    for (const child of this.#children.toReversed()) {
      if (child.exitCode !== null || child.signalCode !== null) continue;
      const ended = new Promise((settle) => child.once("exit", settle));
      child.kill("SIGKILL");
      await ended;
    }
  }

  async #start(): Promise<void> {
    await this.#makeKeys();
    const { etcd, etcdPeers, api } = this.#ports;
    const at = (port: number) => `http://127.0.0.1:${port}`;
    this.#spawn("etcd", program("etcd"), [
      ...["--data-dir", join(this.#folder, "etcd"), "--unsafe-no-fsync"],
      ...["--listen-client-urls", at(etcd), "--advertise-client-urls", at(etcd)],
      ...["--listen-peer-urls", at(etcdPeers), "--initial-advertise-peer-urls", at(etcdPeers)],
      ...["--initial-cluster", `default=${at(etcdPeers)}`],
    ]);
    const file = (name: string) => join(this.#folder, name);
    this.#spawn("kube-apiserver", KUBE_APISERVER, [
      ...["--etcd-servers", at(etcd), "--bind-address", "127.0.0.1", "--secure-port", String(api)],
      ...["--advertise-address", "192.0.2.1", "--endpoint-reconciler-type", "none"],
      ...["--service-cluster-ip-range", "10.96.0.0/24"],
      ...["--tls-cert-file", file("server.crt"), "--tls-private-key-file", file("server.key")],
      ...["--cert-dir", file("certs"), "--token-auth-file", file("tokens.csv")],
      ...["--authorization-mode", "RBAC", "--service-account-issuer", this.issuer],
      ...["--api-audiences", "https://kubernetes.default.svc"],
      ...["--service-account-key-file", file("sa.pub"), "--service-account-signing-key-file", file("sa.key")],
      ...["--enable-priority-and-fairness=false", "--v", "0"],
    ]);
    await until(async () => (await this.#isReady()) || this.#died(), "the API server is ready", READY_MS);
    assert.ok(!this.#died(), this.#log("kube-apiserver"));
  }

  async #makeKeys(): Promise<void> {
    const file = (name: string) => join(this.#folder, name);
    mkdirSync(file("certs"), { recursive: true });
    const openssl = async (...args: readonly string[]) => {
      const { code, stderr } = await run(program("openssl"), args);
      assert.equal(code, 0, stderr);
    };
    const key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
    await openssl(
      "req",
      "-x509",
      ...key,
      "-subj",
      "/CN=test-ca",
      "-days",
      "2",
      "-keyout",
      file("ca.key"),
      "-out",
      this.caFile,
    );
    const signer = ["-CA", this.caFile, "-CAkey", file("ca.key"), "-days", "2"];
    const names = ["-addext", "subjectAltName=IP:127.0.0.1", "-addext", "basicConstraints=CA:FALSE"];
    await openssl(
      "req",
      "-x509",
      ...key,
      ...signer,
      ...names,
      "-subj",
      "/CN=kube-apiserver",
      "-keyout",
      file("server.key"),
      "-out",
      file("server.crt"),
    );
    await openssl("genrsa", "-out", file("sa.key"), "2048");
    await openssl("rsa", "-in", file("sa.key"), "-pubout", "-out", file("sa.pub"));
    writeFileSync(file("tokens.csv"), `${ADMIN},admin,admin,system:masters\n${REVIEWER},reviewer,reviewer\n`);
    writeFileSync(this.reviewerTokenFile, `${REVIEWER}\n`, { mode: 0o600 });
  }

  #spawn(name: string, path: string, args: readonly string[]): void {
    const log = openSync(join(this.#folder, `${name}.log`), "w");
    this.#children.push(spawn(path, args, { stdio: ["ignore", log, log] }));
  }

  async #isReady(): Promise<boolean> {
    try {
      return (await this.#ask("GET", "/readyz")).status === 200;
    } catch {
      return false;
    }
  }

  #died(): boolean {
    return this.#children.some(({ exitCode, signalCode }) => exitCode !== null || signalCode !== null);
  }

  #log(name: string): string {
    return readFileSync(join(this.#folder, `${name}.log`), "utf8").slice(-3000);
  }

  #ask(method: string, path: string, body?: unknown): Promise<{ status: number; text: string }> {
    const { promise, resolve, reject } = Promise.withResolvers<{ status: number; text: string }>();
    const asked = request(
      new URL(path, this.url),
      {
        method,
        ca: readFileSync(this.caFile),
        headers: { authorization: `Bearer ${ADMIN}`, "content-type": "application/json" },
        timeout: 30_000,
        agent: false,
      },
      (answer) => {
        let text = "";
        answer.setEncoding("utf8").on("data", (chunk) => {
          text += chunk;
        });
        answer.on("error", reject).on("end", () => resolve({ status: answer.statusCode ?? 0, text }));
      },
    );
    asked.on("error", reject).end(body === undefined ? undefined : JSON.stringify(body));
    return promise;
  }
}
