import { status } from "@grpc/grpc-js";
import type { JwtSvidKeys } from "../../identity/jwt-svid/jwt-svid-keys.ts";
import type { PodAssignment } from "../../substrate/assignment.ts";
import type { SignAnswer } from "../messages.ts";
import type { TrustBundles } from "../trust-bundle/trust-bundles.ts";
import { CallStatus, permissionDenied } from "./call-status.ts";

/** The CA, for pods that were attested by their sockets. Both reject with BulwarkError for one that is gone, or whose identity was revoked. */
export interface PodStanding {
  readonly sign: (csr: Buffer, pod: PodAssignment) => Promise<SignAnswer>;
  /** For what is not signed by the CA itself. */
  readonly check: (pod: PodAssignment) => Promise<unknown>;
}

/** What the services of one pod's socket work with. */
export interface PodServices {
  readonly standing: PodStanding;
  readonly bundles: TrustBundles;
  readonly jwtKeys: JwtSvidKeys;
  /** Milliseconds since the epoch. */
  readonly clock: () => number;
  readonly onWarning: (message: string) => void;
}

/** Each holds a key and asks the CA at every renewal. */
const MAX_STREAMS = 64;

/** A stream of one caller, as far as its end goes. */
export interface OpenStream {
  readonly end: (status: CallStatus) => void;
}

/** Who asks on one socket: the pod whose socket it is, for as long as that pod lives and is of the mesh. */
export class PodCaller {
  readonly services: PodServices;
  readonly #pod: () => PodAssignment | undefined;
  readonly #streams = new Set<OpenStream>();

  constructor(services: PodServices, pod: () => PodAssignment | undefined) {
    this.services = services;
    this.#pod = pod;
  }

  /** @throws {CallStatus} PERMISSION_DENIED: the pod is gone, or no proxy of the mesh stands before it. */
  get pod(): PodAssignment {
    const pod = this.#pod();
    if (pod?.proxied === true) return pod;
    throw permissionDenied("no identity is issued to this workload");
  }

  /** @throws {CallStatus} RESOURCE_EXHAUSTED */
  open(stream: OpenStream): void {
    if (this.#streams.size >= MAX_STREAMS)
      throw new CallStatus(status.RESOURCE_EXHAUSTED, `a workload has at most ${MAX_STREAMS} streams`);
    this.#streams.add(stream);
  }

  close(stream: OpenStream): void {
    this.#streams.delete(stream);
  }

  endAll(end: CallStatus): void {
    for (const stream of this.#streams) stream.end(end);
  }
}
