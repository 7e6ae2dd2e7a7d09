/** A gRPC client of a pod's socket, which reads what came field by field. */
import { Client, credentials, Metadata, type ServiceError } from "@grpc/grpc-js";
import { type MessageField, readMessage } from "../../../src/dataplane/ext-authz/protobuf-wire.ts";

const raw = (bytes: Buffer): Buffer => bytes;

export function header(value: string | undefined = "true"): Metadata {
  const metadata = new Metadata();
  if (value !== undefined) metadata.set("workload.spiffe.io", value);
  return metadata;
}

/** What a stream has brought so far, and how it ended. */
export interface Followed {
  readonly messages: Buffer[];
  readonly ended: Promise<number>;
  readonly write: (message: Buffer) => void;
  readonly cancel: () => void;
}

export class ApiClient {
  readonly #client: Client;

  constructor(socket: string) {
    this.#client = new Client(`unix:${socket}`, credentials.createInsecure(), { "grpc.enable_channelz": 0 });
  }

  /** @returns the answer, or the status code of the refusal. */
  unary(path: string, message: Buffer, metadata = header()): Promise<Buffer | number> {
    return new Promise((resolve) =>
      this.#client.makeUnaryRequest(path, raw, raw, message, metadata, (error, answer) =>
        resolve(error === null ? (answer ?? Buffer.alloc(0)) : error.code),
      ),
    );
  }

  follow(path: string, metadata = header()): Followed {
    const call = this.#client.makeServerStreamRequest(path, raw, raw, Buffer.alloc(0), metadata);
    return { ...followed(call), write: () => {} };
  }

  duplex(path: string): Followed {
    const call = this.#client.makeBidiStreamRequest(path, raw, raw);
    return { ...followed(call), write: (message) => void call.write(message) };
  }

  close(): void {
    this.#client.close();
  }
}

interface ReadableCall {
  on(event: "data", listener: (message: Buffer) => void): unknown;
  on(event: "error", listener: (error: ServiceError) => void): unknown;
  on(event: "end", listener: () => void): unknown;
  cancel(): void;
}

function followed(call: ReadableCall): Omit<Followed, "write"> {
  const messages: Buffer[] = [];
  const { promise: ended, resolve } = Promise.withResolvers<number>();
  call.on("data", (message) => messages.push(message));
  call.on("error", (error) => resolve(error.code));
  call.on("end", () => resolve(0));
  return { messages, ended, cancel: () => call.cancel() };
}

/** The fields of that number. */
export function fields(message: Buffer, number: number): readonly MessageField[] {
  return [...readMessage(message)].filter((field) => field.number === number);
}

/** The first field of each number in turn: `bytesAt(message, 1, 2)` is field 2 of field 1. */
export function bytesAt(message: Buffer, ...path: readonly number[]): Buffer {
  return path.reduce((inner, number) => fields(inner, number)[0]?.bytes ?? Buffer.alloc(0), message);
}

/** `map<string, bytes>` */
export function mapAt(message: Buffer, number: number): ReadonlyMap<string, Buffer> {
  return new Map(
    fields(message, number).map(({ bytes }) => [bytesAt(bytes, 1).toString("utf8"), bytesAt(bytes, 2)]),
  );
}
