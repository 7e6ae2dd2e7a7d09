import { status } from "@grpc/grpc-js";
import { type Svid, SvidSource } from "../../identity/rotation.ts";
import { parseSpiffeId } from "../../model/spiffe-id.ts";
import type { PodAssignment } from "../../substrate/assignment.ts";
import type { TrustBundles } from "../trust-bundle/trust-bundles.ts";
import { type CallStatus, permissionDenied, statusOf } from "./call-status.ts";
import type { PodStanding } from "./pod-caller.ts";

export interface StreamedSvidOptions {
  readonly pod: PodAssignment;
  readonly standing: PodStanding;
  readonly bundles: TrustBundles;
  /** The first certificate, each that follows it, and the one in force once more when what it is verified against has changed. */
  readonly onSvid: (svid: Svid) => void;
  /** Nothing more comes. */
  readonly onEnd: (status: CallStatus) => void;
}

/** The identity that one stream holds: a key of its own, renewed until the stream ends. */
export class StreamedSvid {
  readonly #source: SvidSource;
  readonly #unwatch: () => void;

  constructor(options: StreamedSvidOptions) {
    const { pod, standing, bundles, onSvid, onEnd } = options;
    const identity = parseSpiffeId(pod.spiffeId)?.id;
    if (identity === undefined) throw permissionDenied("this workload has no identity");
    this.#source = new SvidSource({
      identity,
      requestCertificate: (csr) => standing.sign(csr, pod),
    });
    this.#source.on("rotated", onSvid);
    this.#source.on("failed", (error) => {
      const end = statusOf(error);
      // What was had before goes on being good, unless its identity is not to have it any more; who has nothing yet is told, and asks again.
      if (this.#source.current === undefined || end.code === status.PERMISSION_DENIED) onEnd(end);
    });
    this.#unwatch = bundles.watch((change) => {
      if (change === "own") void this.#source.requestNow();
      else if (this.#source.current !== undefined) onSvid(this.#source.current);
    });
    void this.#source.start();
  }

  stop(): void {
    this.#unwatch();
    this.#source.stop();
  }
}
