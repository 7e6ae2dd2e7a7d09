import { cpuNanos, residentBytes } from "./cpu-time.ts";
import { Load, type LoadFigures, type LoadPlan, loadPlan } from "./load.ts";
import type { IdentityFiles, Subject } from "./subject.ts";

/** What one run of one subject gave. */
export interface Sample {
  readonly figures: LoadFigures;
  readonly requestsPerSecond: number;
  /** The proxy's whole process: all threads, garbage collection and the flow log's serialising included. */
  readonly cpuMicros: number;
  /** The process that stores the log, for each request. */
  readonly logMicros: number | undefined;
}

export interface Bench {
  readonly program: string;
  readonly client: IdentityFiles;
}

/** @throws when a request failed: figures of a proxy that does not do the job are worth nothing. */
export async function measure(
  bench: Bench,
  subject: Subject,
  plan: LoadPlan,
  seconds: number,
): Promise<Sample> {
  const load = new Load(
    bench.program,
    "drive",
    loadPlan(plan, address(subject, plan), bench.client, { seconds }),
  );
  const pid = subject.pids[plan.job === "tcp" ? "tcp" : "http"];
  try {
    await load.ready();
    const before = cpuNanos(pid);
    const logBefore = subject.logPid === undefined ? 0 : cpuNanos(subject.logPid);
    const figures = await load.run();
    const nanos = cpuNanos(pid) - before;
    if (figures.failed > 0 || figures.requests === 0)
      throw new Error(
        `${subject.name}: ${figures.failed} requests failed: ${figures.error ?? "none was answered"}`,
      );
    return {
      figures,
      requestsPerSecond: figures.requests / figures.seconds,
      cpuMicros: nanos / 1000 / figures.requests,
      logMicros:
        subject.logPid === undefined
          ? undefined
          : (cpuNanos(subject.logPid) - logBefore) / 1000 / figures.requests,
    };
  } finally {
    await load.end();
  }
}

/** That the policy is really asked: a certificate of the mesh that it does not name gets 403, or nothing over TCP. */
export async function checkRefusal(bench: Bench, subject: Subject, stranger: IdentityFiles): Promise<void> {
  for (const job of ["http1", "http2", "tcp"] as const) {
    const plan = loadPlan({ job, connections: 1 }, subject.addresses[job], stranger, {
      seconds: 0.1,
      status: 403,
    });
    const load = new Load(bench.program, "drive", plan);
    await load.ready();
    const figures = await load.run();
    await load.end();
    const refused = job === "tcp" ? figures.requests === 0 : figures.failed === 0 && figures.requests > 0;
    if (!refused)
      throw new Error(`${subject.name} does not refuse a stranger's ${job}: ${figures.error ?? ""}`);
  }
}

export interface IdleMemory {
  readonly baseMib: number;
  readonly kibEach: number;
}

const SETTLE_MS = 2000;

/** Resident memory for each connection that has done one HTTP/1.1 request and is idle since. */
export async function measureIdle(bench: Bench, subject: Subject, connections: number): Promise<IdleMemory> {
  const plan = loadPlan({ job: "http1", connections }, subject.addresses.http1, bench.client);
  const base = residentBytes(subject.pids.http);
  const load = new Load(bench.program, "hold", plan);
  try {
    await load.ready();
    await new Promise((resolve) => setTimeout(resolve, SETTLE_MS));
    const each = (residentBytes(subject.pids.http) - base) / connections;
    return { baseMib: base / 2 ** 20, kibEach: each / 2 ** 10 };
  } finally {
    await load.end();
  }
}

function address(subject: Subject, { job }: LoadPlan): string {
  return subject.addresses[job === "connect" ? "http1" : job];
}
