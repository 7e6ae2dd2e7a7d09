/** The application behind every proxy: tells what it saw, many times on one connection. */
import { createServer, type Server, type Socket } from "node:net";
import { forwardedAs } from "./outcome.ts";

const HEAD_END = "\r\n\r\n";

export class Application {
  readonly #server: Server;
  readonly port: number;

  private constructor(server: Server, port: number) {
    this.#server = server;
    this.port = port;
  }

  static start(): Promise<Application> {
    const server = createServer({ noDelay: true }, serve);
    return new Promise((resolve, reject) => {
      server.once("error", reject).listen(0, "127.0.0.1", () => {
        const address = server.address();
        resolve(new Application(server, typeof address === "object" && address !== null ? address.port : 0));
      });
    });
  }

  stop(): void {
    this.#server.close();
  }
}

/** Answers each head with what it says; whatever is no HTTP with four letters. Requests have no bodies. */
function serve(socket: Socket): void {
  let received = "";
  socket.on("error", () => {});
  socket.setEncoding("latin1").on("data", (text: string) => {
    received += text;
    if (!/^[A-Za-z-]+ /.test(received)) {
      received = "";
      socket.write("PONG\n");
      return;
    }
    for (let end = received.indexOf(HEAD_END); end >= 0; end = received.indexOf(HEAD_END)) {
      socket.write(answerTo(received.slice(0, end)));
      received = received.slice(end + HEAD_END.length);
    }
  });
}

function headersOf(head: string): (readonly [string, string])[] {
  return head
    .split("\r\n")
    .slice(1)
    .map((line) => {
      const colon = line.indexOf(":");
      return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()] as const;
    });
}

function answerTo(head: string): string {
  const [method = "", path = ""] = (head.split("\r\n", 1)[0] ?? "").split(" ");
  const host = /\r\nhost: *(.*)/i.exec(head)?.[1] ?? "";
  const body = Buffer.from(forwardedAs(path, host, headersOf(head)), "latin1").toString("base64");
  return `HTTP/1.1 200 OK\r\nx-application: yes\r\ncontent-length: ${body.length}${HEAD_END}${method === "HEAD" ? "" : body}`;
}
