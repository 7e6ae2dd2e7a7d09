import { connect } from "node:net";

const RETRY_MS = 50;

/** Resolves once something accepts connections there. @throws when nothing does in time. */
export async function waitForPort(host: string, port: number, timeoutMs: number): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  while (!(await accepts(host, port))) {
    if (performance.now() > deadline) throw new Error(`nothing listens on ${host}:${port}`);
    await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
  }
}

function accepts(host: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host, port });
    const settle = (outcome: boolean) => {
      socket.destroy();
      resolve(outcome);
    };
    socket.once("connect", () => settle(true));
    socket.once("error", () => settle(false));
  });
}
