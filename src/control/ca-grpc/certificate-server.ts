import {
  type Metadata,
  Server,
  ServerCredentials,
  type ServerUnaryCall,
  type ServiceDefinition,
  type sendUnaryData,
} from "@grpc/grpc-js";
import type { Credentials } from "../../identity/authentication/caller.ts";
import { decodeCsrPem } from "../../identity/authentication/csr-pem.ts";
import { BulwarkError } from "../../resources/bulwark-error.ts";
import type { CertificateService } from "../certificate-service.ts";
import {
  decodeCertificateRequest,
  encodeCertificateResponse,
  type IstioCertificateRequest,
  splitPem,
} from "./certificate-messages.ts";
import { grpcRefusal } from "./grpc-refusal.ts";
import { type ServingIdentity, TlsListener } from "./tls-listener.ts";
import { unreadCalls } from "./unread-calls.ts";

export interface CertificateServerOptions {
  readonly host: string;
  readonly port: number;
  readonly identity: ServingIdentity;
  readonly certificates: Pick<CertificateService, "create" | "refuseMalformed">;
  /** Faults of ours. */
  readonly onInternalError: (error: unknown) => void;
}

/** Several times the largest request that is signed. */
const MAX_MESSAGE_BYTES = 65_536;
const MAX_STREAMS = 32;
/** Of what one connection can have us hold; gRPC's own limit is none. */
const MAX_SESSION_MEGABYTES = 2;
/** A token has at most 8 KiB; the rest is small. */
const MAX_METADATA_BYTES = 16_384;
const IDLE_MS = 5 * 60_000;
/** Then a connection is asked to come again: one that holds calls open without ever sending them ends, too. */
const MAX_AGE_MS = 30 * 60_000;
const MAX_AGE_GRACE_MS = 60_000;

/** Bytes go through as they are: what cannot be read has to be refused on record, not inside of gRPC. */
const SERVICE = {
  createCertificate: {
    path: "/istio.v1.auth.IstioCertificateService/CreateCertificate",
    requestStream: false,
    responseStream: false,
    requestSerialize: (bytes: Buffer) => bytes,
    requestDeserialize: (bytes: Buffer) => bytes,
    responseSerialize: (bytes: Buffer) => bytes,
    responseDeserialize: (bytes: Buffer) => bytes,
  },
} satisfies ServiceDefinition;

/**
 * Istio's certificate service, as istio-agent and ztunnel call it.
 * @see istio/api, security/v1alpha1/ca.proto
 */
export class CertificateServer {
  readonly #options: CertificateServerOptions;
  readonly #server: Server;
  readonly #listener: TlsListener;

  constructor(options: CertificateServerOptions) {
    this.#options = options;
    this.#server = new Server({
      "grpc.max_receive_message_length": MAX_MESSAGE_BYTES,
      "grpc.max_concurrent_streams": MAX_STREAMS,
      "grpc.max_metadata_size": MAX_METADATA_BYTES,
      "grpc-node.max_session_memory": MAX_SESSION_MEGABYTES,
      "grpc.max_connection_idle_ms": IDLE_MS,
      "grpc.max_connection_age_ms": MAX_AGE_MS,
      "grpc.max_connection_age_grace_ms": MAX_AGE_GRACE_MS,
      "grpc.enable_channelz": 0,
      interceptors: [unreadCalls((refusal, peer) => this.#refused(refusal, this.#addressOf(peer)))],
    });
    this.#server.addService(SERVICE, {
      createCertificate: (call: ServerUnaryCall<Buffer, Buffer>, answer: sendUnaryData<Buffer>) =>
        void this.#answer(call, answer),
    });
    // TLS is ours: gRPC's own can ask for a client certificate only by insisting on one.
    const injector = this.#server.createConnectionInjector(ServerCredentials.createInsecure());
    this.#listener = new TlsListener({
      ...options,
      onConnection: (socket) => injector.injectConnection(socket),
      onRefused: (refusal, address) => this.#refused(refusal, address),
    });
  }

  get port(): number {
    return this.#listener.port;
  }

  /** @throws {BulwarkError} BW_CA_GRPC_LISTEN */
  listen(): Promise<void> {
    return this.#listener.listen();
  }

  setIdentity(identity: ServingIdentity): void {
    this.#listener.setIdentity(identity);
  }

  close(): void {
    this.#server.forceShutdown();
    this.#listener.close();
  }

  async #answer(call: ServerUnaryCall<Buffer, Buffer>, answer: sendUnaryData<Buffer>): Promise<void> {
    try {
      answer(null, await this.#create(call));
    } catch (error) {
      if (!(error instanceof BulwarkError)) this.#options.onInternalError(error);
      answer(grpcRefusal(error));
    }
  }

  async #create(call: ServerUnaryCall<Buffer, Buffer>): Promise<Buffer> {
    const { certificates } = this.#options;
    const credentials = this.#credentialsOf(call);
    let asked: ReturnType<typeof askedFor>;
    try {
      asked = askedFor(decodeCertificateRequest(call.request), call.metadata);
    } catch (error) {
      throw await certificates.refuseMalformed(error, credentials.peerAddress);
    }
    const { chainPem, trustBundlePem } = await certificates.create({
      credentials: { ...credentials, bearerToken: asked.bearerToken },
      csr: () => decodeCsrPem(asked.csr),
      ttlSeconds: asked.validityDuration,
      impersonate: asked.impersonate,
    });
    return encodeCertificateResponse(splitPem(chainPem, trustBundlePem));
  }

  /** A call on a connection that is gone by now has shown nothing. */
  #credentialsOf(call: ServerUnaryCall<Buffer, Buffer>): Omit<Credentials, "bearerToken"> {
    const peer = call.getPeer();
    return {
      certificate: this.#listener.callerOf(peer)?.certificate,
      peerAddress: this.#addressOf(peer),
    };
  }

  #addressOf(peer: string): string {
    return this.#listener.callerOf(peer)?.address ?? peer;
  }

  /** What was refused without a call of ours; it is on record like any other. */
  #refused(refusal: BulwarkError, address: string | undefined): void {
    void this.#options.certificates.refuseMalformed(refusal, address);
  }
}

/** @throws {BulwarkError} BW_CA_METADATA, BW_CA_CREDENTIALS_AMBIGUOUS */
function askedFor(request: IstioCertificateRequest, headers: Metadata) {
  const { csr, validityDuration, metadata, otherMetadata } = request;
  for (const name of ["ImpersonatedIdentity", "CertSigner"])
    if (otherMetadata.has(name))
      throw new BulwarkError("BW_CA_METADATA", `the metadata's \`${name}\` is not text`);
  if ((metadata.get("CertSigner") ?? "") !== "")
    throw new BulwarkError("BW_CA_METADATA", "this CA has one signer: `CertSigner` cannot be chosen");
  return {
    csr,
    validityDuration,
    // Empty is absent, as in istiod.
    impersonate: metadata.get("ImpersonatedIdentity") || undefined,
    bearerToken: bearerTokenOf(headers),
  };
}

/** As istiod finds it, but for two tokens, of which it takes the first. */
function bearerTokenOf(headers: Metadata): string | undefined {
  const tokens = headers
    .get("authorization")
    .map(String)
    .filter((value) => value.startsWith("Bearer "));
  if (tokens.length > 1)
    throw new BulwarkError("BW_CA_CREDENTIALS_AMBIGUOUS", "more than one token was shown");
  return tokens[0]?.slice("Bearer ".length);
}
