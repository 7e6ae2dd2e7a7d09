import type { LoadPlan } from "./load.ts";

export interface Job {
  readonly title: string;
  readonly plan: LoadPlan;
  /** Least that Envoy's CPU ÷ ours should be; undefined where nothing is promised. */
  readonly target?: number;
}

/** What is measured, in this order. Handshakes are full ones but where it says resumed. */
export const JOBS: readonly Job[] = [
  { title: "HTTP/1.1, 100 B, 32 connections", plan: { job: "http1", connections: 32 }, target: 1.2 },
  {
    title: "HTTP/1.1, 64 KiB, 32 connections",
    plan: { job: "http1", connections: 32, large: true },
    target: 1,
  },
  { title: "HTTP/1.1, 100 B, 1 connection", plan: { job: "http1", connections: 1 } },
  { title: "HTTP/2, 100 B, 8 connections × 16 streams", plan: { job: "http2", connections: 8, streams: 16 } },
  { title: "TCP, 100 B, 32 connections", plan: { job: "tcp", connections: 32 } },
  { title: "TCP, 64 KiB, 32 connections", plan: { job: "tcp", connections: 32, large: true } },
  { title: "new connections, X25519, 16 at a time", plan: { job: "connect", connections: 16 } },
  {
    title: "new connections, X25519MLKEM768, 16 at a time",
    plan: { job: "connect", connections: 16, postQuantum: true },
  },
  {
    title: "new connections, resumed, 16 at a time",
    plan: { job: "connect", connections: 16, resume: true },
  },
];
