/** One proxy that is measured: what to connect to, and which process's time counts. */
export interface Subject {
  readonly name: string;
  /** `host:port` for each kind of upstream: HTTP/1.1, HTTP/2, TCP. */
  readonly addresses: Readonly<Record<"http1" | "http2" | "tcp", string>>;
  /** The process that does HTTP, and the one that does TCP: two sidecars of ours, one Envoy. */
  readonly pids: Readonly<Record<"http" | "tcp", number>>;
  /** The process that stores what the proxy logs; its time is told apart. */
  readonly logPid: number | undefined;
}

/** A certificate and its key as files, for programs that are not ours. */
export interface IdentityFiles {
  readonly cert: string;
  readonly key: string;
  readonly trustBundle: string;
}
