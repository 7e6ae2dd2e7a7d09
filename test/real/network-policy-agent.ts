/**
 * Stands in one network namespace: listens on the ports that it is told, and connects where it is asked to. Lines of JSON in and out:
 * `[{"host","port"}…]` is answered by a list of booleans.
 */
import { createConnection, createServer } from "node:net";
import { createInterface } from "node:readline";

const ports = process.argv.slice(2).map(Number);
let waiting = ports.length;
for (const port of ports) {
  const server = createServer((socket) => {
    socket.on("error", () => {});
    socket.end("x");
  });
  server.listen(port, "0.0.0.0", () => {
    waiting--;
    if (waiting === 0) process.stdout.write("ready\n");
  });
}

/** Whoever refuses resets: there is nothing to wait for. */
function reaches({ host, port }: { host: string; port: number }): Promise<boolean> {
  return new Promise((settle) => {
    const socket = createConnection({ host, port });
    let answered = false;
    socket.on("data", () => {
      answered = true;
    });
    socket.on("error", () => settle(false));
    socket.on("close", () => settle(answered));
  });
}

const lines = createInterface({ input: process.stdin });
lines.on("line", (line) => {
  const targets = JSON.parse(line) as { host: string; port: number }[];
  void Promise.all(targets.map(reaches)).then((results) =>
    process.stdout.write(`${JSON.stringify(results)}\n`),
  );
});
lines.on("close", () => process.exit(0));
