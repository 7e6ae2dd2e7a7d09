import type { CertificateAuthority } from "../../identity/ca.ts";
import type { CertificateService } from "../certificate-service.ts";
import type { CaAccessConfiguration } from "./ca-access-configuration.ts";
import { CertificateServer } from "./certificate-server.ts";
import { ServingCertificate } from "./serving-certificate.ts";

export interface CaGrpcServiceOptions {
  readonly ca: CertificateAuthority;
  readonly certificates: CertificateService;
  readonly listen: NonNullable<CaAccessConfiguration["listen"]>;
  readonly serverNames: readonly string[];
  readonly onInternalError: (error: unknown) => void;
}

/** The CA's gRPC service with its own certificate. Loaded only where it was asked for: gRPC takes 21 MB and 50 ms of processor time. */
export class CaGrpcService {
  readonly #serving: ServingCertificate;
  readonly #server: CertificateServer;

  /** @throws {BulwarkError} BW_CA_GRPC_LISTEN, BW_KEY_… when the CA's key does not sign. */
  static async open(options: CaGrpcServiceOptions): Promise<CaGrpcService> {
    const { ca, certificates, listen, serverNames, onInternalError } = options;
    let server: CertificateServer | undefined;
    const serving = await ServingCertificate.open({
      ca,
      dnsNames: serverNames,
      onRenewed: (identity) => server?.setIdentity(identity),
      onProblem: onInternalError,
    });
    server = new CertificateServer({ ...listen, identity: serving.identity, certificates, onInternalError });
    const service = new CaGrpcService(serving, server);
    try {
      await server.listen();
    } catch (error) {
      service.close();
      throw error;
    }
    return service;
  }

  private constructor(serving: ServingCertificate, server: CertificateServer) {
    this.#serving = serving;
    this.#server = server;
  }

  get port(): number {
    return this.#server.port;
  }

  close(): void {
    this.#server.close();
    this.#serving.close();
  }
}
