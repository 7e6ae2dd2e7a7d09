/** A pod that lives now, as far as authenticating its requests needs it. */
export interface LivePod {
  readonly namespace: string;
  readonly name: string;
  /** Tells it from others that had its name before. */
  readonly uid: string;
  readonly serviceAccount: string;
  /** Undefined: unknown, so that no node agent can speak for it. */
  readonly node: string | undefined;
  /** Where its requests come from; none when that is not known. */
  readonly addresses: readonly string[];
}

export type LivePods = () => readonly LivePod[];
