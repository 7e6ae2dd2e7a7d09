import {
  type Metadata,
  type ServerUnaryCall,
  type ServerWritableStream,
  type ServiceDefinition,
  type sendUnaryData,
  status,
  type UntypedServiceImplementation,
} from "@grpc/grpc-js";
import { signJwtSvid, validateJwtSvid } from "../../identity/jwt-svid/jwt-svid.ts";
import { decodePem } from "../../identity/pem.ts";
import type { Svid } from "../../identity/rotation.ts";
import { printJwtBundle, type TrustBundle } from "../../identity/spiffe-bundle.ts";
import { parseSpiffeId } from "../../model/spiffe-id.ts";
import { BulwarkError } from "../../resources/bulwark-error.ts";
import { CallStatus, invalidArgument, permissionDenied, statusOf } from "./call-status.ts";
import { LatestWriter } from "./latest-writer.ts";
import type { PodCaller } from "./pod-caller.ts";
import { StreamedSvid } from "./streamed-svid.ts";
import {
  type BundleMap,
  decodeJwtSvidAsk,
  decodeValidateAsk,
  encodeJwtBundles,
  encodeJwtSvid,
  encodeValidated,
  encodeX509Bundles,
  encodeX509Svid,
  type JwtSvidAsk,
  type ValidateAsk,
} from "./workload-messages.ts";

/** As SPIRE's default: long enough to be used, short enough that a token that leaked is soon worth nothing. */
const JWT_TTL_SECONDS = 300;
const MAX_AUDIENCES = 16;
const MAX_AUDIENCE_CHARS = 1024;

const raw = (bytes: Buffer): Buffer => bytes;
const nothing = (): Record<string, never> => ({});

function method<Ask>(name: string, decode: (bytes: Buffer) => Ask, responseStream: boolean) {
  return {
    path: `/SpiffeWorkloadAPI/${name}`,
    requestStream: false,
    responseStream,
    requestSerialize: () => Buffer.alloc(0),
    requestDeserialize: decode,
    responseSerialize: raw,
    responseDeserialize: raw,
  };
}

/** The SPIFFE Workload API. @see https://github.com/spiffe/spiffe/blob/main/standards/SPIFFE_Workload_API.md */
export const SPIFFE_WORKLOAD_API: ServiceDefinition = {
  FetchX509SVID: method("FetchX509SVID", nothing, true),
  FetchX509Bundles: method("FetchX509Bundles", nothing, true),
  FetchJWTSVID: method("FetchJWTSVID", decodeJwtSvidAsk, false),
  FetchJWTBundles: method("FetchJWTBundles", nothing, true),
  ValidateJWTSVID: method("ValidateJWTSVID", decodeValidateAsk, false),
};

type Stream = ServerWritableStream<unknown, Buffer>;
type Unary<Ask> = (call: ServerUnaryCall<Ask, Buffer>, done: sendUnaryData<Buffer>) => void;

/** The API for the callers of one pod's socket. */
export function spiffeService(caller: PodCaller): UntypedServiceImplementation {
  const { bundles } = caller.services;
  return {
    FetchX509SVID: (call: Stream) => serve(caller, call, (send, end) => followSvid(caller, send, end)),
    FetchX509Bundles: (call: Stream) =>
      serve(caller, call, (send) =>
        followBundles(caller, () => send(encodeX509Bundles(x509Map(bundles.all())))),
      ),
    FetchJWTBundles: (call: Stream) =>
      serve(caller, call, (send) =>
        followBundles(caller, () => send(encodeJwtBundles(jwtMap(bundles.all())))),
      ),
    FetchJWTSVID: unary<JwtSvidAsk>(caller, (ask) => fetchJwtSvid(caller, ask)),
    ValidateJWTSVID: unary<ValidateAsk>(caller, (ask) => validate(caller, ask)),
  };
}

/** @throws {CallStatus} INVALID_ARGUMENT: only a program that means this API sends it, which a browser or proxy tricked into a request cannot. */
function requireHeader(metadata: Metadata): void {
  const values = metadata.get("workload.spiffe.io");
  if (values.length !== 1 || values[0] !== "true")
    throw invalidArgument("the security header `workload.spiffe.io: true` is missing");
}

type Follow = (send: (message: Buffer) => void, end: (status: CallStatus) => void) => () => void;

function serve(caller: PodCaller, call: Stream, follow: Follow): void {
  let stop = () => {};
  const close = () => {
    caller.close(stream);
    stop();
    stop = () => {};
  };
  const end = (status: CallStatus) => {
    close();
    call.emit("error", status);
  };
  const stream = { end };
  try {
    requireHeader(call.metadata);
    // Asked here so that who has no identity is told so before anything else.
    caller.pod;
    caller.open(stream);
    call.on("cancelled", close).on("error", close).on("close", close);
    const writer = new LatestWriter(call);
    stop = follow((message) => writer.write(message), end);
  } catch (error) {
    end(statusOf(error));
  }
}

function followSvid(caller: PodCaller, send: (message: Buffer) => void, end: (status: CallStatus) => void) {
  const { standing, bundles } = caller.services;
  const own = new StreamedSvid({
    pod: caller.pod,
    standing,
    bundles,
    onSvid: (svid) => send(encodeX509Svid(answerOf(svid), x509Map([...bundles.federated.values()]))),
    onEnd: end,
  });
  return () => own.stop();
}

function followBundles(caller: PodCaller, send: () => void): () => void {
  send();
  return caller.services.bundles.watch(send);
}

function answerOf(svid: Svid) {
  return {
    spiffeId: svid.identity,
    chain: Buffer.concat(decodePem("CERTIFICATE", svid.chainPem)),
    key: svid.privateKey.export({ type: "pkcs8", format: "der" }),
    bundle: Buffer.concat(decodePem("CERTIFICATE", svid.trustBundlePem)),
  };
}

function x509Map(bundles: readonly TrustBundle[]): BundleMap {
  return new Map(
    bundles.map(({ trustDomain, x509Authorities }) => [
      `spiffe://${trustDomain}`,
      Buffer.concat(x509Authorities),
    ]),
  );
}

function jwtMap(bundles: readonly TrustBundle[]): BundleMap {
  return new Map(
    bundles.map((bundle) => [`spiffe://${bundle.trustDomain}`, Buffer.from(printJwtBundle(bundle), "utf8")]),
  );
}

function unary<Ask>(caller: PodCaller, answer: (ask: Ask) => Promise<Buffer>): Unary<Ask> {
  return (call, done) => {
    answerUnary(caller, call, answer).then(
      (message) => done(null, message),
      (error) => done(statusOf(error)),
    );
  };
}

async function answerUnary<Ask>(
  caller: PodCaller,
  call: ServerUnaryCall<Ask, Buffer>,
  answer: (ask: Ask) => Promise<Buffer>,
): Promise<Buffer> {
  requireHeader(call.metadata);
  caller.pod;
  return answer(call.request);
}

async function fetchJwtSvid(caller: PodCaller, { audiences, spiffeId }: JwtSvidAsk): Promise<Buffer> {
  const named = audiences.filter((audience) => audience !== "" && audience.length <= MAX_AUDIENCE_CHARS);
  if (named.length === 0 || named.length !== audiences.length || named.length > MAX_AUDIENCES)
    throw invalidArgument(`name 1 to ${MAX_AUDIENCES} audiences`);
  const identity = parseSpiffeId(caller.pod.spiffeId)?.id;
  if (identity === undefined) throw permissionDenied("no identity is issued to this workload");
  if (spiffeId !== "" && spiffeId !== identity)
    throw permissionDenied("the identity that is asked for is not this workload's");
  const { jwtKeys, clock, standing } = caller.services;
  await standing.check(caller.pod);
  const svid = await signJwtSvid(jwtKeys.signing, {
    identity,
    audiences: named,
    ttlSeconds: JWT_TTL_SECONDS,
    nowMs: clock(),
  });
  return encodeJwtSvid(identity, svid);
}

async function validate(caller: PodCaller, { audience, svid }: ValidateAsk): Promise<Buffer> {
  const { bundles, clock } = caller.services;
  try {
    const { identity, claims } = await validateJwtSvid(
      svid,
      audience,
      (domain) => bundles.of(domain),
      clock(),
    );
    return encodeValidated(identity, claims);
  } catch (error) {
    if (error instanceof BulwarkError && error.code === "BW_JWT_SVID_INVALID")
      throw new CallStatus(status.INVALID_ARGUMENT, error.message);
    throw error;
  }
}
