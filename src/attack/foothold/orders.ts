/** What an attacker in a pod is told to do, and what it says came of it: one JSON object a line. */

export type Order =
  | ConnectOrder
  | DatagramOrder
  | RawOrder
  | { readonly kind: "become"; readonly uid: number }
  /** Every process of that user of the pod. */
  | { readonly kind: "kill"; readonly uid: number }
  | { readonly kind: "run"; readonly words: readonly string[] };

export interface ConnectOrder {
  readonly kind: "connect";
  readonly host: string;
  readonly port: number;
  /** Base64; sent once connected. */
  readonly say: string;
  readonly timeoutMs: number;
  /** The pod's user whose socket it is: only its root may choose. */
  readonly as?: number;
}

export interface DatagramOrder {
  readonly kind: "datagram";
  readonly host: string;
  readonly port: number;
  readonly say: string;
  readonly timeoutMs: number;
  readonly as?: number;
}

/** An IP packet of any protocol by a raw socket; 255: `say` has the IP header too (raw(7)). */
export interface RawOrder {
  readonly kind: "raw";
  readonly host: string;
  readonly protocol: number;
  readonly say: string;
  readonly as?: number;
}

export interface Word {
  /** The attacker's end. */
  readonly local?: { readonly ip: string; readonly port: number };
  readonly connected: boolean;
  /** Base64: what came back. */
  readonly heard: string;
  /** Why no more. */
  readonly failure?: string;
  /** Nobody is there to say: nothing was tried. */
  readonly lost?: true;
}
