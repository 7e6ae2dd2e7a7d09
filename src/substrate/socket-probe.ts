import { createServer } from "node:net";

/** Whether a socket can listen there now, or the error code why not (`EADDRINUSE`, `EACCES`, `EADDRNOTAVAIL`…). */
export function probeListen(host: string, port: number): Promise<"free" | string> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once("error", (error: NodeJS.ErrnoException) => resolve(error.code ?? "EUNKNOWN"));
    server.listen({ host, port, exclusive: true }, () => server.close(() => resolve("free")));
  });
}

/** Below this a port needs a right on most systems. */
const FIRST_UNPRIVILEGED_PORT = 1024;
/** Above Linux's default range of ephemeral ports (32768–60999), so that no outgoing connection sits on a moved port. */
const OFFSET_WITHOUT_RIGHT = 61_000;

/** What to add to ports below 1024 on this machine: 0 where this process may bind them. */
export async function privilegedPortOffset(): Promise<number> {
  // Any port below 1024 shows whether the right is there, taken or not; this one is the least likely to be taken.
  const outcome = await probeListen("127.0.0.1", FIRST_UNPRIVILEGED_PORT - 1);
  return outcome === "EACCES" || outcome === "EPERM" ? OFFSET_WITHOUT_RIGHT : 0;
}
