import { X509Certificate } from "node:crypto";
import type { SignAnswer } from "../control/messages.ts";
import type { RpcPeer } from "../control/rpc.ts";
import { encodeCsr } from "../identity/csr.ts";
import { KEY_ALGORITHMS } from "../identity/key-algorithm.ts";
import { BulwarkError } from "../resources/bulwark-error.ts";
import type { PodAssignment } from "../substrate/assignment.ts";
import type { Credentials } from "./mesh-under-attack.ts";

const REQUEST_TIMEOUT_MS = 5000;

/**
 * What code execution in a workload yields: with the service account token that lies in the pod, a certificate for the
 * pod's account, by the very way that the pod's sidecar has.
 * @throws {BulwarkError} the control plane's refusal.
 */
export async function stealIdentity(
  connect: () => Promise<RpcPeer>,
  token: string,
  pod: PodAssignment,
): Promise<Credentials> {
  const { privateKey } = await KEY_ALGORITHMS["ecdsa-p256"].generate();
  const answer = await signWithToken(connect, token, encodeCsr(privateKey));
  return {
    spiffeId: pod.spiffeId,
    serial: serialOf(answer.chainPem),
    keyPem: privateKey.export({ type: "pkcs8", format: "pem" }).toString(),
    chainPem: answer.chainPem,
  };
}

/** Asks the CA for a certificate with this token, as a proxy does. @throws {BulwarkError} */
export async function signWithToken(
  connect: () => Promise<RpcPeer>,
  token: string,
  csr: Buffer,
): Promise<SignAnswer> {
  const peer = await connect();
  try {
    await sayHello(peer, token);
    const params = { token, csr: csr.toString("base64") };
    return (await peer.request("sign", params, REQUEST_TIMEOUT_MS)) as SignAnswer;
  } finally {
    peer.close();
  }
}

/** The pod's own proxy keeps its place; what a token's holder may still do is ask for the pod's certificate. @throws {BulwarkError} */
export async function sayHello(peer: RpcPeer, token: string): Promise<void> {
  try {
    await peer.request("hello", { token }, REQUEST_TIMEOUT_MS);
  } catch (error) {
    if (!(error instanceof BulwarkError && error.code === "BW_SESSION_TAKEN")) throw error;
  }
}

/** Serial of the first certificate, upper-case hexadecimal, as flow records write it. */
export function serialOf(chainPem: string): string {
  return new X509Certificate(chainPem).serialNumber.toUpperCase();
}
