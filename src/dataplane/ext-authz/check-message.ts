/**
 * The messages of `envoy.service.auth.v3.Authorization/Check`, both ways: proxies ask with them, `bulwark authorizer` answers.
 * Written from the public API; only what is used of it is here, and unknown fields are passed over.
 * @see https://www.envoyproxy.io/docs/envoy/latest/api-v3/service/auth/v3/external_auth.proto
 */
import { type MessageField, MessageWriter, readMessage } from "./protobuf-wire.ts";

/** The path of the only method. */
export const CHECK_METHOD = "/envoy.service.auth.v3.Authorization/Check";

/** One end of what is asked about. */
export interface CheckPeer {
  readonly ip: string;
  readonly port: number;
  /** `spiffe://…`; empty for none. */
  readonly principal: string;
}

/** An HTTP request as an authorizer is shown it. */
export interface CheckHttp {
  readonly id: string;
  readonly method: string;
  /** Path and query, normalised. */
  readonly path: string;
  readonly host: string;
  readonly scheme: string;
  /** `HTTP/1.1` or `HTTP/2`. */
  readonly protocol: string;
  /** Lower-case names; repeated headers joined by commas; pseudo headers too. */
  readonly headers: ReadonlyMap<string, string>;
  /** Octets, or -1. */
  readonly size: number;
  /** As text (`body`) or as bytes (`rawBody`); both empty for none. */
  readonly body: string;
  readonly rawBody: Uint8Array;
}

/** AttributeContext. */
export interface CheckRequest {
  readonly source: CheckPeer;
  readonly destination: CheckPeer;
  /** Milliseconds since the epoch. */
  readonly timeMs: number;
  /** Null for TCP. */
  readonly http: CheckHttp | null;
}

/**
 * How one header is changed. `set`: in place of all of this name. `append`: behind the first value that is there, and nothing
 * where there is none (Envoy's deprecated `append: true`). `add`: one more. The others as they say.
 */
export type HeaderAction = "set" | "append" | "add" | "add-if-absent" | "overwrite-if-exists";

export interface HeaderChange {
  readonly name: string;
  readonly value: string;
  readonly action: HeaderAction;
}

/** CheckResponse. `code`: google.rpc.Code, 0 = OK. */
export interface CheckResponse {
  readonly code: number;
  readonly ok: CheckOk | null;
  readonly denied: CheckDenied | null;
  /** The authorizer itself failed. */
  readonly error: CheckDenied | null;
}

export interface CheckOk {
  readonly headers: readonly HeaderChange[];
  readonly headersToRemove: readonly string[];
  readonly responseHeaders: readonly HeaderChange[];
  readonly queryToSet: readonly (readonly [name: string, value: string])[];
  readonly queryToRemove: readonly string[];
}

export interface CheckDenied {
  /** HTTP status; 0 where none is given. */
  readonly status: number;
  readonly headers: readonly HeaderChange[];
  readonly body: string;
}

export function encodeCheckRequest(request: CheckRequest): Buffer {
  const { source, destination, timeMs, http } = request;
  const attributes = new MessageWriter().message(1, peer(source)).message(2, peer(destination));
  if (http !== null) {
    const time = new MessageWriter()
      .int(1, Math.floor(timeMs / 1000))
      .int(2, Math.floor((timeMs % 1000) * 1e6));
    attributes.message(4, new MessageWriter().message(1, time).message(2, httpRequest(http)));
  }
  return new MessageWriter().message(1, attributes).finish();
}

function peer({ ip, port, principal }: CheckPeer): MessageWriter {
  const socket = new MessageWriter().text(2, ip).int(3, port);
  return new MessageWriter().message(1, new MessageWriter().message(1, socket)).text(4, principal);
}

function httpRequest(http: CheckHttp): MessageWriter {
  const message = new MessageWriter()
    .text(1, http.id)
    .text(2, http.method)
    .map(3, http.headers)
    .text(4, http.path)
    .text(5, http.host)
    .text(6, http.scheme)
    .int(9, http.size)
    .text(10, http.protocol)
    .text(11, http.body);
  return http.rawBody.length === 0 ? message : message.bytes(12, http.rawBody);
}

/** @throws {BulwarkError} BW_PROTOBUF */
export function decodeCheckRequest(bytes: Buffer): CheckRequest {
  const attributes = only(fieldsOf(bytes), 1);
  const fields = attributes === undefined ? [] : fieldsOf(attributes);
  const request = only(fields, 4);
  const requestFields = request === undefined ? [] : fieldsOf(request);
  const http = only(requestFields, 2);
  return {
    source: readPeer(only(fields, 1)),
    destination: readPeer(only(fields, 2)),
    timeMs: readTime(only(requestFields, 1)),
    http: http === undefined ? null : readHttp(fieldsOf(http)),
  };
}

function readPeer(bytes: Buffer | undefined): CheckPeer {
  const fields = bytes === undefined ? [] : fieldsOf(bytes);
  const address = only(fields, 1);
  const socket = address === undefined ? undefined : only(fieldsOf(address), 1);
  const socketFields = socket === undefined ? [] : fieldsOf(socket);
  return { ip: textOf(socketFields, 2), port: intOf(socketFields, 3), principal: textOf(fields, 4) };
}

function readTime(bytes: Buffer | undefined): number {
  if (bytes === undefined) return 0;
  const fields = fieldsOf(bytes);
  return intOf(fields, 1) * 1000 + intOf(fields, 2) / 1e6;
}

function readHttp(fields: readonly MessageField[]): CheckHttp {
  const entries = fields.filter(({ number }) => number === 3).map(({ bytes }) => fieldsOf(bytes));
  return {
    id: textOf(fields, 1),
    method: textOf(fields, 2),
    headers: new Map(entries.map((entry) => [textOf(entry, 1), textOf(entry, 2)])),
    path: textOf(fields, 4),
    host: textOf(fields, 5),
    scheme: textOf(fields, 6),
    size: intOf(fields, 9),
    protocol: textOf(fields, 10),
    body: textOf(fields, 11),
    rawBody: only(fields, 12) ?? Buffer.alloc(0),
  };
}

export function encodeCheckResponse(response: CheckResponse): Buffer {
  const message = new MessageWriter().message(1, new MessageWriter().int(1, response.code));
  if (response.denied !== null) message.message(2, denied(response.denied));
  if (response.ok !== null) message.message(3, okay(response.ok));
  if (response.error !== null) message.message(5, denied(response.error));
  return message.finish();
}

function denied({ status, headers, body }: CheckDenied): MessageWriter {
  const message = new MessageWriter().message(1, new MessageWriter().int(1, status));
  for (const header of headers) message.message(2, headerChange(header));
  return message.text(3, body);
}

function okay(ok: CheckOk): MessageWriter {
  const message = new MessageWriter();
  for (const header of ok.headers) message.message(2, headerChange(header));
  for (const name of ok.headersToRemove) message.bytes(5, Buffer.from(name, "utf8"));
  for (const header of ok.responseHeaders) message.message(6, headerChange(header));
  for (const [name, value] of ok.queryToSet)
    message.message(7, new MessageWriter().text(1, name).text(2, value));
  for (const name of ok.queryToRemove) message.bytes(8, Buffer.from(name, "utf8"));
  return message;
}

/** HeaderAppendAction. */
const ACTION_CODES = { add: 0, "add-if-absent": 1, set: 2, "overwrite-if-exists": 3 } as const;

function headerChange({ name, value, action }: HeaderChange): MessageWriter {
  const message = new MessageWriter().message(1, new MessageWriter().text(1, name).text(2, value));
  // Old Envoys know only `append`, which new ones heed before the action.
  if (action === "append") return message.message(2, new MessageWriter().int(1, 1));
  if (action === "set") return message.message(2, new MessageWriter());
  return message.int(3, ACTION_CODES[action]);
}

/** @throws {BulwarkError} BW_PROTOBUF */
export function decodeCheckResponse(bytes: Buffer): CheckResponse {
  const fields = fieldsOf(bytes);
  const status = only(fields, 1);
  const deniedBytes = only(fields, 2);
  const okBytes = only(fields, 3);
  const errorBytes = only(fields, 5);
  return {
    code: status === undefined ? 0 : intOf(fieldsOf(status), 1),
    denied: deniedBytes === undefined ? null : readDenied(fieldsOf(deniedBytes)),
    ok: okBytes === undefined ? null : readOk(fieldsOf(okBytes)),
    error: errorBytes === undefined ? null : readDenied(fieldsOf(errorBytes)),
  };
}

function readDenied(fields: readonly MessageField[]): CheckDenied {
  const status = only(fields, 1);
  return {
    status: status === undefined ? 0 : intOf(fieldsOf(status), 1),
    headers: readChanges(fields, 2, () => "add"),
    body: textOf(fields, 3),
  };
}

function readOk(fields: readonly MessageField[]): CheckOk {
  const pairs = fields.filter(({ number }) => number === 7).map(({ bytes }) => fieldsOf(bytes));
  return {
    headers: readChanges(fields, 2, requestAction),
    headersToRemove: textsOf(fields, 5),
    responseHeaders: readChanges(fields, 6, responseAction),
    queryToSet: pairs.map((pair) => [textOf(pair, 1), textOf(pair, 2)] as const),
    queryToRemove: textsOf(fields, 8),
  };
}

type ReadAction = (option: readonly MessageField[]) => HeaderAction;

function readChanges(fields: readonly MessageField[], number: number, actionOf: ReadAction): HeaderChange[] {
  return fields
    .filter((field) => field.number === number)
    .map(({ bytes }) => {
      const option = fieldsOf(bytes);
      const header = only(option, 1);
      const pair = header === undefined ? [] : fieldsOf(header);
      // Octets as latin1, as heads are written: a text beyond ASCII goes on as the UTF-8 that it came in.
      const value = Buffer.from(textOf(pair, 2), "utf8").toString("latin1");
      return { name: textOf(pair, 1).toLowerCase(), value, action: actionOf(option) };
    });
}

/** Envoy 1.40 heeds `append` alone for requests, and sets in all other cases: what a client sent under that name is gone. */
function requestAction(option: readonly MessageField[]): HeaderAction {
  return appends(option) === true ? "append" : "set";
}

/** HeaderAppendAction, of which the default adds. */
const ACTIONS: readonly HeaderAction[] = ["add", "add-if-absent", "set", "overwrite-if-exists"];

function responseAction(option: readonly MessageField[]): HeaderAction {
  const append = appends(option);
  if (append !== undefined) return append ? "add" : "set";
  return ACTIONS[intOf(option, 3)] ?? "set";
}

/** The deprecated `append`; undefined where it is not there. */
function appends(option: readonly MessageField[]): boolean | undefined {
  const append = only(option, 2);
  return append === undefined ? undefined : intOf(fieldsOf(append), 1) !== 0;
}

function fieldsOf(bytes: Buffer): readonly MessageField[] {
  return [...readMessage(bytes)];
}

/** The last one, as protocol buffers take it where a field stands twice. */
function only(fields: readonly MessageField[], number: number): Buffer | undefined {
  return fields.findLast((field) => field.number === number)?.bytes;
}

function textOf(fields: readonly MessageField[], number: number): string {
  return fields.findLast((field) => field.number === number)?.text ?? "";
}

function textsOf(fields: readonly MessageField[], number: number): string[] {
  return fields.filter((field) => field.number === number).map(({ text }) => text);
}

function intOf(fields: readonly MessageField[], number: number): number {
  return Number(fields.findLast((field) => field.number === number)?.int ?? 0n);
}
