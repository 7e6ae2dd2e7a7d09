import type {
  ServerDuplexStream,
  ServerUnaryCall,
  ServiceDefinition,
  sendUnaryData,
  UntypedServiceImplementation,
} from "@grpc/grpc-js";
import { encodePem } from "../../identity/pem.ts";
import type { Svid } from "../../identity/rotation.ts";
import type { TrustBundle } from "../../identity/spiffe-bundle.ts";
import { podKey } from "../../substrate/assignment.ts";
import { type CallStatus, invalidArgument, statusOf } from "./call-status.ts";
import { LatestWriter } from "./latest-writer.ts";
import type { PodCaller } from "./pod-caller.ts";
import {
  type DiscoveryRequest,
  decodeDiscoveryRequest,
  encodeDiscoveryResponse,
  encodeSpiffeValidator,
  encodeTlsCertificate,
  encodeTrustedCa,
  SECRET_TYPE,
} from "./sds-messages.ts";
import { StreamedSvid } from "./streamed-svid.ts";

/** As istio-agent names them. */
const OWN_CERTIFICATE = "default";
const OWN_ROOTS = "ROOTCA";
/** As SPIRE names the roots of every trust domain, each for its own identities. */
const ALL_DOMAINS = "ALL";
const MAX_NAMES = 16;

const PREFIX = "/envoy.service.secret.v3.SecretDiscoveryService";
const raw = (bytes: Buffer): Buffer => bytes;

const CODEC = {
  requestSerialize: () => Buffer.alloc(0),
  requestDeserialize: decodeDiscoveryRequest,
  responseSerialize: raw,
  responseDeserialize: raw,
};

/** Envoy's secret discovery service, state of the world. @see https://www.envoyproxy.io/docs/envoy/v1.40.0/configuration/security/secret */
export const SECRET_DISCOVERY: ServiceDefinition = {
  StreamSecrets: { path: `${PREFIX}/StreamSecrets`, requestStream: true, responseStream: true, ...CODEC },
  FetchSecrets: { path: `${PREFIX}/FetchSecrets`, requestStream: false, responseStream: false, ...CODEC },
};

type Stream = ServerDuplexStream<DiscoveryRequest, Buffer>;

/** Secret discovery for the callers of one pod's socket. */
export function secretService(caller: PodCaller): UntypedServiceImplementation {
  return {
    StreamSecrets: (call: Stream) => new SecretStream(caller, call).open(),
    FetchSecrets: (call: ServerUnaryCall<DiscoveryRequest, Buffer>, done: sendUnaryData<Buffer>) =>
      fetchOnce(caller, call, done),
  };
}

/** Of one client, which may ask for several names on it, and for others later. */
class SecretStream {
  readonly #caller: PodCaller;
  readonly #call: Stream;
  readonly #writer: LatestWriter;
  #names: readonly string[] = [];
  #own: StreamedSvid | undefined;
  #svid: Svid | undefined;
  #unwatch = () => {};
  #version = 0;
  #isOver = false;

  constructor(caller: PodCaller, call: Stream) {
    this.#caller = caller;
    this.#call = call;
    this.#writer = new LatestWriter(call);
  }

  open(): void {
    const { bundles } = this.#caller.services;
    const close = () => this.#close();
    this.#call.on("cancelled", close).on("error", close).on("close", close);
    this.#call.on("end", () => {
      this.#close();
      this.#call.end();
    });
    this.#guard(() => {
      this.#caller.pod;
      this.#caller.open(this);
      this.#unwatch = bundles.watch(() => this.#push());
      this.#call.on("data", (request: DiscoveryRequest) => this.#guard(() => this.#take(request)));
    });
  }

  end(status: CallStatus): void {
    if (this.#isOver) return;
    this.#close();
    this.#call.emit("error", status);
  }

  #guard(work: () => void): void {
    try {
      work();
    } catch (error) {
      this.end(statusOf(error));
    }
  }

  /** A request is the first, takes the last answer (nothing to do), refuses it, answers an older one (nothing to do), or asks for other names. */
  #take(request: DiscoveryRequest): void {
    if (this.#isOver) return;
    checkRequest(request);
    if (request.error !== undefined)
      this.#caller.services.onWarning(
        `${podKey(this.#caller.pod)} refuses the secrets that it was sent by SDS, and goes on with those of before`,
      );
    if (request.responseNonce !== "" && request.responseNonce !== String(this.#version)) return;
    const names = [...new Set(request.resourceNames)].sort();
    if (request.responseNonce !== "" && names.join() === this.#names.join()) return;
    for (const name of names)
      if (!isKnown(name, this.#caller)) throw invalidArgument("a secret is asked for that there is not");
    this.#names = names;
    if (names.some((name) => isCertificate(name, this.#caller))) this.#own ??= this.#follow();
    this.#push();
  }

  #follow(): StreamedSvid {
    const { standing, bundles } = this.#caller.services;
    return new StreamedSvid({
      pod: this.#caller.pod,
      standing,
      bundles,
      onSvid: (svid) => {
        this.#svid = svid;
        this.#push();
      },
      onEnd: (status) => this.end(status),
    });
  }

  /** State of the world: everything that was asked for, each time; so nothing before the certificate is there. */
  #push(): void {
    if (this.#isOver || this.#names.length === 0) return;
    const secrets = secretsOf(this.#names, this.#caller, this.#svid);
    if (secrets === undefined) return;
    this.#version++;
    const text = String(this.#version);
    this.#writer.write(encodeDiscoveryResponse({ versionInfo: text, nonce: text, secrets }));
  }

  #close(): void {
    this.#isOver = true;
    this.#unwatch();
    this.#own?.stop();
    this.#own = undefined;
    this.#caller.close(this);
  }
}

function fetchOnce(
  caller: PodCaller,
  { request }: ServerUnaryCall<DiscoveryRequest, Buffer>,
  done: sendUnaryData<Buffer>,
): void {
  let own: StreamedSvid | undefined;
  const stream = { end: (status: CallStatus) => finish(status) };
  const finish = (status: CallStatus | undefined, message?: Buffer) => {
    // Not at once: the certificate can come from within the constructor whose result is stopped here.
    setImmediate(() => own?.stop());
    caller.close(stream);
    done(status ?? null, message);
  };
  try {
    const { pod, services } = caller;
    checkRequest(request);
    const names = [...new Set(request.resourceNames)];
    if (!names.every((name) => isKnown(name, caller)))
      throw invalidArgument("a secret is asked for that there is not");
    const answer = (svid: Svid | undefined) => {
      const secrets = secretsOf(names, caller, svid) ?? [];
      finish(undefined, encodeDiscoveryResponse({ versionInfo: "1", nonce: "1", secrets }));
    };
    if (!names.some((name) => isCertificate(name, caller))) {
      answer(undefined);
      return;
    }
    caller.open(stream);
    own = new StreamedSvid({ ...services, pod, onSvid: once(answer), onEnd: finish });
  } catch (error) {
    finish(statusOf(error));
  }
}

function once<T>(work: (value: T) => void): (value: T) => void {
  let isDone = false;
  return (value) => {
    if (!isDone) work(value);
    isDone = true;
  };
}

/** @throws {CallStatus} INVALID_ARGUMENT */
function checkRequest({ typeUrl, resourceNames }: DiscoveryRequest): void {
  if (typeUrl !== "" && typeUrl !== SECRET_TYPE) throw invalidArgument("only secrets are discovered here");
  if (resourceNames.length > MAX_NAMES) throw invalidArgument(`more than ${MAX_NAMES} secrets are asked for`);
}

function isCertificate(name: string, { pod }: PodCaller): boolean {
  return name === OWN_CERTIFICATE || name === pod.spiffeId;
}

function isKnown(name: string, caller: PodCaller): boolean {
  return (
    isCertificate(name, caller) ||
    name === OWN_ROOTS ||
    name === ALL_DOMAINS ||
    bundleNamed(name, caller) !== undefined
  );
}

/** Roots of one trust domain, by its SPIFFE ID. */
function bundleNamed(name: string, { services }: PodCaller): TrustBundle | undefined {
  return services.bundles.all().find(({ trustDomain }) => name === `spiffe://${trustDomain}`);
}

/** Undefined while the certificate is not there. */
function secretsOf(
  names: readonly string[],
  caller: PodCaller,
  svid: Svid | undefined,
): Buffer[] | undefined {
  const { bundles } = caller.services;
  const secrets: Buffer[] = [];
  for (const name of names) {
    if (isCertificate(name, caller)) {
      if (svid === undefined) return undefined;
      const key = svid.privateKey.export({ type: "pkcs8", format: "pem" }).toString();
      secrets.push(encodeTlsCertificate(name, svid.chainPem, key));
    } else if (name === ALL_DOMAINS) {
      const roots = bundles.all().map((bundle) => [bundle.trustDomain, rootsPem(bundle)] as const);
      secrets.push(encodeSpiffeValidator(name, new Map(roots)));
    } else secrets.push(encodeTrustedCa(name, rootsPem(bundleNamed(name, caller) ?? bundles.own)));
  }
  return secrets;
}

function rootsPem({ x509Authorities }: TrustBundle): string {
  return x509Authorities.map((der) => encodePem("CERTIFICATE", der)).join("");
}
