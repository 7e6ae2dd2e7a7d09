/** A CA with everything that may ask it: a cluster, an outside issuer, pods on two nodes, and the gRPC service. */
import assert from "node:assert/strict";
import { type KeyObject, randomBytes } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createLocalJWKSet, SignJWT } from "jose";
import { CaAccess } from "../../../src/control/ca-grpc/ca-access.ts";
import type {
  CaAccessConfiguration,
  OidcAccess,
} from "../../../src/control/ca-grpc/ca-access-configuration.ts";
import { NO_CA_ACCESS } from "../../../src/control/ca-grpc/ca-access-configuration.ts";
import { CertificateServer } from "../../../src/control/ca-grpc/certificate-server.ts";
import { ServingCertificate } from "../../../src/control/ca-grpc/serving-certificate.ts";
import { CertificateService } from "../../../src/control/certificate-service.ts";
import { parseKeyAccess } from "../../../src/control/jwks/key-access.ts";
import { MessageWriter, readMessage } from "../../../src/dataplane/ext-authz/protobuf-wire.ts";
import type { LivePod } from "../../../src/identity/authentication/live-pods.ts";
import { type CaOptions, type CertificateAuthority, openCa } from "../../../src/identity/ca.ts";
import { encodeCsr } from "../../../src/identity/csr.ts";
import { KEY_ALGORITHMS, spkiOf } from "../../../src/identity/key-algorithm.ts";
import { readPrivateKey } from "../../../src/identity/key-store.ts";
import { encodePem } from "../../../src/identity/pem.ts";
import { DEFAULT_TOKEN_ISSUER, openTokenIssuer } from "../../../src/identity/service-account-token.ts";
import { issueCertificate } from "../../../src/identity/sign.ts";
import type { AuditRecord } from "../../../src/identity/store/ca-store.ts";
import { serialFrom, type Validity, validityFrom, workloadTemplate } from "../../../src/identity/template.ts";
import type { FlowDraft } from "../../../src/model/flow-record.ts";
import { parseTrustDomain, type SpiffeId, workloadSpiffeId } from "../../../src/model/spiffe-id.ts";
import type { PodAssignment } from "../../../src/substrate/assignment.ts";
import { type IssuerKey, issuerKey, jwksOf, KeyServer } from "../jwks/key-server.ts";
import { type UnaryAnswer, unaryCall } from "./unary-call.ts";

export const TRUST_DOMAIN = parseTrustDomain("cluster.local") ?? assert.fail();
export const OIDC_AUDIENCE = "bulwark-ca";
export const identityOf = (account: string, namespace = "finance"): SpiffeId =>
  workloadSpiffeId(TRUST_DOMAIN, namespace, account);

export const PODS: readonly LivePod[] = [
  pod("finance", "auditor-0", "auditor", "node-1"),
  pod("finance", "payroll-0", "payroll", "node-2"),
  pod("finance", "limited-0", "limited", "node-2"),
  pod("finance", "cut-0", "cut", "node-1"),
  pod("finance", "barred-0", "barred", "node-1"),
  pod("finance", "moved-0", "moved", "node-1"),
  pod("istio-system", "ztunnel-a", "ztunnel", "node-1"),
  pod("istio-system", "ztunnel-b", "ztunnel", "node-2"),
];

function pod(namespace: string, name: string, serviceAccount: string, node: string): LivePod {
  return { namespace, name, uid: `uid-${name}`, serviceAccount, node, addresses: [] };
}

/** Undefined takes a claim out. */
type Claims = Readonly<Record<string, unknown>>;

export interface AskOptions {
  readonly token?: string;
  readonly certificate?: ClientCertificate;
  /** PEM; default a good request with a new key. */
  readonly csr?: string;
  readonly ttlSeconds?: number;
  readonly metadata?: Readonly<Record<string, string | boolean>>;
  /** The client's own address. */
  readonly from?: string;
  /** In place of a message. */
  readonly raw?: Buffer;
  /** In place of a message, said to be compressed by this. */
  readonly compressed?: Buffer;
  readonly encoding?: string;
}

export interface ClientCertificate {
  readonly certPem: string;
  readonly keyPem: string;
  readonly serial: string;
}

export class CaFixture {
  readonly ca: CertificateAuthority;
  readonly oidcKey: IssuerKey = issuerKey("oidc-1");
  readonly flows: FlowDraft[] = [];
  readonly #folder: string;
  readonly #issuerKey: KeyObject;
  readonly #issuerKid: string;
  readonly #oidc: KeyServer;
  readonly #access: CaAccess;
  readonly #serving: ServingCertificate;
  readonly #certificates: CertificateService;
  readonly #server: CertificateServer;

  static async open(
    change: Partial<CaAccessConfiguration> = {},
    caOptions: Partial<CaOptions> = {},
  ): Promise<CaFixture> {
    const folder = mkdtempSync(join(tmpdir(), "ca-grpc-"));
    const ca = await openCa(folder, { trustDomain: TRUST_DOMAIN, ...caOptions });
    const issuer = await openTokenIssuer(folder);
    const oidc = await KeyServer.start(() => {});
    const serving = await ServingCertificate.open({
      ca,
      dnsNames: ["istiod.istio-system.svc", "localhost"],
      onRenewed: () => {},
      onProblem: assert.ifError,
    });
    const fixture = new CaFixture(folder, ca, issuer, oidc, serving, change);
    await fixture.#server.listen();
    return fixture;
  }

  private constructor(
    folder: string,
    ca: CertificateAuthority,
    issuer: Awaited<ReturnType<typeof openTokenIssuer>>,
    oidc: KeyServer,
    serving: ServingCertificate,
    change: Partial<CaAccessConfiguration>,
  ) {
    this.#folder = folder;
    this.ca = ca;
    this.#issuerKey = readPrivateKey(join(folder, "tokens", "issuer.key.pem")) ?? assert.fail();
    this.#issuerKid = issuer.jwks.keys[0]?.kid ?? assert.fail();
    this.#oidc = oidc;
    oidc.answer = (request, response) =>
      response.end(
        request.url === "/keys"
          ? jwksOf(this.oidcKey)
          : JSON.stringify({ issuer: this.oidcIssuer, jwks_uri: oidc.url("/keys") }),
      );
    const livePods = () => PODS;
    this.#access = new CaAccess({
      configuration: {
        ...NO_CA_ACCESS,
        nodeAgents: ["istio-system/ztunnel"],
        limits: {
          perIdentity: { ratePerSecond: 0.001, burst: 40 },
          perAddress: { ratePerSecond: 1000, burst: 1000 },
        },
        oidc: [this.oidcRule(false)],
        ...change,
      },
      trustDomain: TRUST_DOMAIN,
      ownTokens: { keys: issuerKeys(issuer), issuer: issuer.issuer, clock: Date.now },
      livePods,
      records: ca.store,
      oidcKeys: {
        file: join(folder, "oidc-keys.json"),
        access: parseKeyAccess(["127.0.0.1"]),
        onProblem: assert.fail,
      },
    });
    this.#serving = serving;
    this.#certificates = this.#service();
    this.#server = new CertificateServer({
      host: "127.0.0.1",
      port: 0,
      identity: serving.identity,
      certificates: this.#certificates,
      onInternalError: (error) => assert.ifError(error),
    });
  }

  get oidcIssuer(): string {
    return this.#oidc.url("").replace(/\/$/, "");
  }

  get counts(): CertificateService["counts"] {
    return this.#certificates.counts;
  }

  get port(): number {
    return this.#server.port;
  }

  async close(): Promise<void> {
    this.#server.close();
    this.#serving.close();
    this.#access.close();
    await this.#oidc.stop();
    await this.ca.close();
    rmSync(this.#folder, { recursive: true, force: true });
  }

  /** A service account's token, as changed. Undefined takes a claim out. */
  token(
    account = "auditor",
    change: Claims = {},
    header: Readonly<Record<string, string>> = {},
    key: KeyObject | Uint8Array = this.#issuerKey,
  ): Promise<string> {
    return new SignJWT({ ...this.claims(account), ...change })
      .setProtectedHeader({ alg: "ES256", kid: this.#issuerKid, ...header })
      .sign(key);
  }

  claims(account: string): Claims {
    const live = PODS.find(({ serviceAccount }) => serviceAccount === account) ?? assert.fail();
    const now = Math.floor(Date.now() / 1000);
    return {
      iss: DEFAULT_TOKEN_ISSUER,
      aud: ["istio-ca"],
      sub: `system:serviceaccount:${live.namespace}:${account}`,
      iat: now,
      nbf: now,
      exp: now + 600,
      jti: randomBytes(8).toString("hex"),
      "kubernetes.io": {
        namespace: live.namespace,
        serviceaccount: { name: account, uid: "" },
        pod: { name: live.name, uid: live.uid },
      },
    };
  }

  /** The public key with which tokens are checked, as somebody who wants to misuse it has it. */
  get issuerPublicPem(): Uint8Array {
    return Buffer.from(encodePem("PUBLIC KEY", spkiOf(this.#issuerKey)));
  }

  oidcToken(
    change: Claims = {},
    header: Readonly<Record<string, string>> = {},
    key: KeyObject | Uint8Array = this.oidcKey.privateKey,
  ): Promise<string> {
    const now = Math.floor(Date.now() / 1000);
    const claims = { iss: this.oidcIssuer, aud: OIDC_AUDIENCE, sub: "build", iat: now, exp: now + 300 };
    return new SignJWT({
      ...claims,
      jti: randomBytes(8).toString("hex"),
      repository: "bank/auditor",
      ...change,
    })
      .setProtectedHeader({ alg: "ES256", kid: this.oidcKey.kid, ...header })
      .sign(key);
  }

  /** A certificate that the CA has on record. */
  async issued(identity: SpiffeId, ttlSeconds = 600): Promise<ClientCertificate> {
    const { privateKey } = await KEY_ALGORITHMS["ecdsa-p256"].generate();
    const { chainPem, serial } = await this.ca.issue({
      csr: encodeCsr(privateKey),
      verifiedIdentity: identity,
      ttlSeconds,
    });
    return { certPem: chainPem, keyPem: pemOf(privateKey), serial };
  }

  /** A certificate that the CA's key signed without the CA: for what the CA would not sign. */
  async signed(
    identity: SpiffeId,
    validity: Validity,
    ca: CertificateAuthority = this.ca,
  ): Promise<ClientCertificate> {
    const { privateKey } = await KEY_ALGORITHMS["ecdsa-p256"].generate();
    const serial = serialFrom(randomBytes(16));
    const template = workloadTemplate({
      identity,
      spki: spkiOf(privateKey),
      validity,
      serial,
      issuer: ca.signer,
    });
    const certificate = await issueCertificate(template, ca.signer.key);
    const certPem = [certificate, ...ca.chain].map((der) => encodePem("CERTIFICATE", der)).join("");
    return { certPem, keyPem: pemOf(privateKey), serial: serial.toString("hex") };
  }

  get servingCertificate(): ClientCertificate {
    const { certificateChainPem: certPem, keyPem } = this.#serving.identity;
    return { certPem, keyPem, serial: "" };
  }

  async ask(options: AskOptions): Promise<UnaryAnswer> {
    const { token, certificate, from, raw, compressed, encoding } = options;
    return unaryCall({
      port: this.port,
      tls: {
        ca: this.ca.trustBundlePem,
        servername: "istiod.istio-system.svc",
        ...(from === undefined ? {} : { localAddress: from }),
        ...(certificate === undefined ? {} : { cert: certificate.certPem, key: certificate.keyPem }),
      },
      headers: {
        ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
        ...(encoding === undefined ? {} : { "grpc-encoding": encoding }),
      },
      body: compressed ?? raw ?? (await requestOf(options)),
      isCompressed: compressed !== undefined,
    });
  }

  /** The newest record of the audit. */
  async lastAudit(): Promise<AuditRecord> {
    const [last] = await this.ca.store.audited(1);
    return last ?? assert.fail("nothing was audited");
  }

  /** The one outside issuer, and which identity its tokens have. */
  oidcRule(singleUse: boolean): OidcAccess {
    return {
      issuer: this.oidcIssuer,
      audiences: [OIDC_AUDIENCE],
      jwksUri: "",
      singleUse,
      rules: [{ claims: { sub: "build", repository: "bank/auditor" }, spiffeId: identityOf("auditor") }],
    };
  }

  #service(): CertificateService {
    const { authentication, nodeAgents, limits } = this.#access;
    return new CertificateService({
      ca: this.ca,
      records: this.ca.store,
      authentication,
      nodeAgents,
      limits,
      holders: () => PODS.map(assignmentOf),
      ttlSeconds: 0,
      record: (draft) => this.flows.push(draft),
      onIssued: () => {},
      onRefused: () => {},
      onProblem: assert.ifError,
    });
  }
}

function issuerKeys(issuer: Awaited<ReturnType<typeof openTokenIssuer>>) {
  return createLocalJWKSet(issuer.jwks);
}

function assignmentOf({ namespace, name, uid, serviceAccount }: LivePod): PodAssignment {
  return {
    name,
    namespace,
    uid,
    serviceAccount,
    workload: `${namespace}/${serviceAccount}`,
    replica: 0,
    address: "127.0.0.1",
    spiffeId: identityOf(serviceAccount, namespace),
    role: "application",
    proxied: true,
    outboundSecret: "",
    applicationPorts: [],
  };
}

export async function csrPem(): Promise<string> {
  const { privateKey } = await KEY_ALGORITHMS["ecdsa-p256"].generate();
  return encodePem("CERTIFICATE REQUEST", encodeCsr(privateKey));
}

async function requestOf({ csr, ttlSeconds = 0, metadata = {} }: AskOptions): Promise<Buffer> {
  const message = new MessageWriter().text(1, csr ?? (await csrPem())).int(3, ttlSeconds);
  const struct = new MessageWriter();
  for (const [key, value] of Object.entries(metadata)) {
    const wrapped = new MessageWriter();
    if (typeof value === "string") wrapped.bytes(3, Buffer.from(value));
    else wrapped.int(4, value ? 1 : 0);
    struct.message(1, new MessageWriter().text(1, key).message(2, wrapped));
  }
  return message.message(4, struct).finish();
}

/** `cert_chain` of an answer. */
export function chainOf({ body }: UnaryAnswer): readonly string[] {
  return [...readMessage(body)].map((field) => field.text);
}

export function validFrom(nowMs: number, ttlSeconds = 600): Validity {
  return validityFrom(nowMs, ttlSeconds);
}

function pemOf(key: KeyObject): string {
  return key.export({ type: "pkcs8", format: "pem" }).toString();
}
