import { readFileSync, statSync } from "node:fs";
import type { IncomingMessage, ServerResponse } from "node:http";
import { createServer, type Server } from "node:https";
import type { AddressInfo } from "node:net";
import type { CertificateAuthority } from "../../identity/ca.ts";
import { SvidSource, tlsCredentials } from "../../identity/rotation.ts";
import { printSpiffeBundle } from "../../identity/spiffe-bundle.ts";
import { TLS_PROFILE } from "../../identity/tls-profile.ts";
import { parseSpiffeId, type SpiffeId, type TrustDomain } from "../../model/spiffe-id.ts";
import { BulwarkError } from "../../resources/bulwark-error.ts";
import type { BundleEndpointOption } from "./federation-option.ts";
import type { TrustBundles } from "./trust-bundles.ts";

export interface BundleEndpointOptions extends BundleEndpointOption {
  readonly bundles: TrustBundles;
  readonly ca: Pick<CertificateAuthority, "issue" | "trustDomain">;
  /** Of the certificate of `https_spiffe`; 0: the CA's default. */
  readonly ttlSeconds: number;
  readonly onWarning: (message: string) => void;
}

const MAX_CONNECTIONS = 100;
const REQUEST_TIMEOUT_MS = 10_000;
/** How long a certificate of `https_web` that was replaced on the disk is still shown. */
const FILE_CHECK_MS = 10_000;

/** Who the server of `https_spiffe` is, in every mesh: what others write as `id`. */
export function bundleEndpointId(trustDomain: TrustDomain): SpiffeId {
  const id = parseSpiffeId(`spiffe://${trustDomain}/bulwark/bundle-endpoint`)?.id;
  if (id === undefined) throw new Error("BUG: the endpoint's SPIFFE ID is none");
  return id;
}

/** Serves the mesh's own trust bundle. What it serves is public; that it is the right one is what its certificate says. */
export class BundleEndpoint {
  readonly #options: BundleEndpointOptions;
  readonly #server: Server;
  #svid: SvidSource | undefined;
  #timer: NodeJS.Timeout | undefined;
  #shownAt = "";

  private constructor(options: BundleEndpointOptions) {
    this.#options = options;
    this.#server = createServer({
      ...TLS_PROFILE.outside,
      requestTimeout: REQUEST_TIMEOUT_MS,
      keepAliveTimeout: 1,
    });
    this.#server.maxConnections = MAX_CONNECTIONS;
    this.#server.on("request", (request, response) => this.#answer(request, response));
    // Clients that break off, or speak something else.
    this.#server.on("tlsClientError", () => {});
    this.#server.on("clientError", (_error, socket) => socket.destroy());
  }

  /** @throws {BulwarkError} BW_BUNDLE_ENDPOINT: its address is taken, or its certificate cannot be had. */
  static async open(options: BundleEndpointOptions): Promise<BundleEndpoint> {
    const endpoint = new BundleEndpoint(options);
    try {
      if (options.profile === "https_web") endpoint.#followFiles();
      else await endpoint.#followIdentity();
      await endpoint.#listen();
      return endpoint;
    } catch (cause) {
      await endpoint.close();
      const why = cause instanceof Error ? cause.message : String(cause);
      throw new BulwarkError("BW_BUNDLE_ENDPOINT", `the bundle endpoint cannot be opened: ${why}`, { cause });
    }
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  async close(): Promise<void> {
    clearInterval(this.#timer);
    this.#svid?.stop();
    this.#server.closeAllConnections();
    if (this.#server.listening) await new Promise<void>((done) => this.#server.close(() => done()));
  }

  #answer(request: IncomingMessage, response: ServerResponse): void {
    response.on("error", () => {});
    if (request.method !== "GET" && request.method !== "HEAD") {
      response.writeHead(405, { allow: "GET, HEAD" }).end();
      return;
    }
    const body = Buffer.from(printSpiffeBundle(this.#options.bundles.own), "utf8");
    response.writeHead(200, { "content-type": "application/json", "content-length": body.length });
    response.end(request.method === "HEAD" ? undefined : body);
  }

  async #followIdentity(): Promise<void> {
    const { ca, ttlSeconds, onWarning } = this.#options;
    const identity = bundleEndpointId(ca.trustDomain);
    const svid = new SvidSource({
      identity,
      requestCertificate: (csr) =>
        ca.issue({ csr, verifiedIdentity: identity, ttlSeconds, method: "bundle-endpoint" }),
    });
    this.#svid = svid;
    svid.on("rotated", (next) => {
      const { key, cert } = tlsCredentials(next);
      this.#server.setSecureContext({ key, cert, ...TLS_PROFILE.outside });
    });
    svid.on("failed", (error) =>
      onWarning(`the bundle endpoint's certificate is not renewed: ${error.message}`),
    );
    if (!(await svid.start())) throw new Error("the CA gave it no certificate");
    // Roots that are replaced have other intermediates below them.
    this.#options.bundles.watch((change) => {
      if (change === "own") void svid.requestNow();
    });
  }

  #followFiles(): void {
    this.#takeFiles();
    this.#timer = setInterval(() => {
      try {
        this.#takeFiles();
      } catch (error) {
        const why = error instanceof Error ? error.message : String(error);
        this.#options.onWarning(
          `the bundle endpoint keeps its certificate, the new one cannot be used: ${why}`,
        );
      }
    }, FILE_CHECK_MS);
    this.#timer.unref();
  }

  #takeFiles(): void {
    const { certFile = "", keyFile = "" } = this.#options;
    const changedAt = [certFile, keyFile].map((path) => statSync(path).mtimeMs).join();
    if (changedAt === this.#shownAt) return;
    this.#shownAt = changedAt;
    const [cert, key] = [readFileSync(certFile, "utf8"), readFileSync(keyFile, "utf8")];
    this.#server.setSecureContext({ cert, key, ...TLS_PROFILE.outside });
  }

  #listen(): Promise<void> {
    const { host, port } = this.#options;
    return new Promise((resolve, reject) => {
      this.#server.once("error", reject);
      this.#server.listen(port, host, () => {
        this.#server.off("error", reject);
        this.#server.on("error", (error) => this.#options.onWarning(`the bundle endpoint: ${error.message}`));
        resolve();
      });
    });
  }
}
