/** One case, asked of all: the compiled policy, the slow interpreter, a live Envoy, the live proxy. */
import { rmSync } from "node:fs";
import { compileInbound } from "../../src/policy/inbound.ts";
import { CertificateForge } from "../corpus/live-certificates.ts";
import { authorityOf, closeAuthorities } from "../corpus/live-proxy.ts";
import { temporaryFolder } from "../temporary-folder.ts";
import { Application } from "./application.ts";
import { decidedOutcomes, readRequest, versionOf } from "./decided.ts";
import type { ConnectionSpec, DifferentialCase, MeshSpec } from "./differential-case.ts";
import { EnvoySubject } from "./envoy-subject.ts";
import { FixedAuthorizers } from "./fixed-authorizer.ts";
import { type CaseMesh, meshOf, type SentRequest, sentRequest } from "./materialize.ts";
import { difference, type Outcome } from "./outcome.ts";
import { type ConnectionRecord, proxiedOutcomes } from "./proxied.ts";
import { ProxySubject } from "./proxy-subject.ts";
import { type ReadRequest, referredOutcomes } from "./referred.ts";
import { comparable } from "./stricter-parser.ts";
import { TokenSigner } from "./token-signer.ts";
import { converse, requestBytes, type WireAnswer } from "./wire.ts";
import { converseHttp2 } from "./wire2.ts";

const RECORDS_TIMEOUT_MS = 10_000;

export interface Disagreement {
  readonly what: string;
  readonly mesh: MeshSpec;
  readonly connection: Omit<ConnectionSpec, "requests">;
  readonly request: SentRequest | null;
  readonly outcomes: Readonly<Record<string, Outcome>>;
}

/** Whoever serves a mesh over real sockets. */
interface Subject {
  serve(meshAt: (address: string) => CaseMesh): Promise<{ address: string } & CaseMesh>;
  records(): ReadonlyMap<string, ConnectionRecord>;
  forget(): void;
}

/** Everything that runs between cases. Lives in a private network: any address is this machine's own there. */
export class CaseRunner {
  readonly #signer = new TokenSigner();
  readonly #rogue = CertificateForge.alone();
  readonly #application: Application;
  readonly #authorizers: FixedAuthorizers;
  readonly #envoy: EnvoySubject;
  readonly #proxy: ProxySubject;
  readonly #folder: string;

  private constructor(
    application: Application,
    authorizers: FixedAuthorizers,
    envoy: EnvoySubject,
    folder: string,
  ) {
    this.#application = application;
    this.#authorizers = authorizers;
    this.#envoy = envoy;
    this.#proxy = new ProxySubject(application);
    this.#folder = folder;
  }

  static async start(): Promise<CaseRunner> {
    const folder = temporaryFolder("bulwark-differential-");
    const application = await Application.start();
    const envoy = await EnvoySubject.start(folder, application);
    return new CaseRunner(application, await FixedAuthorizers.start(), envoy, folder);
  }

  async stop(): Promise<void> {
    this.#envoy.stop();
    await this.#proxy.stop();
    this.#application.stop();
    this.#authorizers.stop();
    await closeAuthorities();
    rmSync(this.#folder, { recursive: true, force: true });
  }

  /** @returns how many were asked, and where the answers differ. */
  async run(
    asked: DifferentialCase,
  ): Promise<{ readonly requests: number; readonly disagreements: Disagreement[] }> {
    const sent = asked.connections.map((connection) => this.#sentRequests(connection));
    const [envoy, proxy] = await Promise.all(
      [this.#envoy, this.#proxy].map((subject) => this.#ask(subject, asked, sent)),
    );
    const disagreements: Disagreement[] = [];
    for (const [index, connection] of asked.connections.entries()) {
      const requests = sent[index] ?? [];
      const own = await this.#answer(asked.mesh, connection, requests);
      for (const [at, request] of requests.entries()) {
        const outcomes = outcomesAt(at, { ...own, envoy: envoy?.[index] ?? [], proxy: proxy?.[index] ?? [] });
        const tokenInQuery = connection.requests[at]?.token?.place.kind === "param";
        const what = difference(comparable(asked.mesh, connection, request, outcomes), tokenInQuery);
        const { requests: _, ...rest } = connection;
        if (what !== undefined)
          disagreements.push({
            what,
            mesh: asked.mesh,
            connection: rest,
            request: connection.http ? request : null,
            outcomes,
          });
      }
    }
    return { requests: sent.flat().length, disagreements };
  }

  #sentRequests(connection: ConnectionSpec): SentRequest[] {
    if (!connection.http) return [NO_REQUEST];
    return connection.requests.map((request) => sentRequest(request, this.#signer));
  }

  /** Without any socket. The address that is assumed is nobody's: policies that name the workload's own name it. */
  async #answer(mesh: MeshSpec, connection: ConnectionSpec, requests: readonly SentRequest[]) {
    const address = "10.20.0.1";
    const { mesh: built, workload } = meshOf(mesh, address, this.#signer);
    const policy = compileInbound(built, workload, { semantics: "istio" });
    const decided = await decidedOutcomes(policy, connection, requests);
    const read = requests.map((sent, index): ReadRequest => {
      const outcome = decided[index] as Outcome;
      return {
        spec: connection.requests[index] ?? EMPTY_REQUEST,
        sent,
        read: connection.http ? readRequest(policy, sent, versionOf(connection)) : null,
        refusal: outcome,
      };
    });
    return { decided, reference: referredOutcomes(mesh, connection, read, address, this.#signer) };
  }

  async #ask(
    subject: Subject,
    asked: DifferentialCase,
    sent: readonly (readonly SentRequest[])[],
  ): Promise<Outcome[][]> {
    const { address } = await subject.serve((at) =>
      meshOf(asked.mesh, at, this.#signer, this.#application.port),
    );
    subject.forget();
    const { forge } = await authorityOf(asked.mesh.trustDomain);
    const answers = await Promise.all(
      asked.connections.map((connection, index) => this.#send(address, connection, sent[index] ?? [], forge)),
    );
    return this.#recorded(subject, answers);
  }

  async #recorded(subject: Subject, answers: readonly WireAnswer[][]): Promise<Outcome[][]> {
    const untilMs = performance.now() + RECORDS_TIMEOUT_MS;
    for (;;) {
      const records = subject.records();
      const outcomes = answers.map((list) => proxiedOutcomes(list, (key) => records.get(key)));
      const complete = outcomes.filter((list) => list !== undefined);
      if (complete.length === outcomes.length) return complete;
      if (performance.now() > untilMs)
        throw new Error(`records are missing: ${JSON.stringify([...records])} ${JSON.stringify(answers)}`);
      await new Promise((done) => setTimeout(done, 2));
    }
  }

  #send(
    address: string,
    connection: ConnectionSpec,
    requests: readonly SentRequest[],
    forge: CertificateForge,
  ): Promise<WireAnswer[]> {
    const { tls, principal, alpn, sni, sourceIp, port, http } = connection;
    const issuer = tls === "rogue" ? this.#rogue : forge;
    const name = principal.startsWith("dns:") ? principal.slice("dns:".length) : `spiffe://${principal}`;
    const certificate = tls === "simple" ? {} : { secureContext: issuer.context([name]) };
    const dial = {
      from: sourceIp,
      address,
      port,
      tls: tls === "plaintext" ? undefined : { servername: sni, ALPNProtocols: [...alpn], ...certificate },
    };
    if (connection.http2 === true) return converseHttp2(dial, requests);
    return converse(
      dial,
      requests.map((request) => ({
        bytes: http ? requestBytes(request) : Buffer.from("PING\n"),
        headOnly: request.method === "HEAD",
      })),
    );
  }
}

const NO_REQUEST: SentRequest = { method: "GET", target: "/", host: "app", headers: [] };
const EMPTY_REQUEST = { ...NO_REQUEST, token: null };

function outcomesAt(
  index: number,
  all: Readonly<Record<string, readonly Outcome[]>>,
): Record<string, Outcome> {
  return Object.fromEntries(
    Object.entries(all).flatMap(([name, outcomes]) => {
      const outcome = outcomes[index];
      return outcome === undefined ? [] : [[name, outcome] as const];
    }),
  );
}
