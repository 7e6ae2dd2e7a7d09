import { X509Certificate } from "node:crypto";
import { createReadStream, existsSync, readdirSync, readFileSync, renameSync } from "node:fs";
import { dirname, join } from "node:path";
import { parseSpiffeId } from "../../model/spiffe-id.ts";
import { BulwarkError } from "../../resources/bulwark-error.ts";
import { syncFolder } from "../key-store.ts";
import type { CaStore, IssuedCertificateRecord } from "./ca-store.ts";

const MAX_LINE_CHARS = 16_384;
/** Records under way at once: they share transactions. */
const MAX_UNDER_WAY = 1000;

/**
 * Takes the certificates of a journal over (JSON Lines: how they were recorded before there was a store), once: afterwards the file is called `.taken-over`. A kill on
 * the way leaves it, and the next start goes over it again. Torn lines are passed over: no certificate was handed out for them.
 * @param folder the CA's, in which the certificates of its intermediates tell which key signed.
 * @throws {BulwarkError} BW_CA_JOURNAL_READ, and those of the store.
 */
export async function takeOverJournal(path: string, folder: string, store: CaStore): Promise<void> {
  if (!existsSync(path)) return;
  const keyIds = intermediateKeyIds(folder);
  let underWay: Promise<void>[] = [];
  for await (const line of lines(path)) {
    const record = recordOf(line, keyIds);
    if (record === undefined) continue;
    underWay.push(recordOnce(store, record));
    if (underWay.length < MAX_UNDER_WAY) continue;
    await Promise.all(underWay);
    underWay = [];
  }
  await Promise.all(underWay);
  renameSync(path, `${path}.taken-over`);
  syncFolder(dirname(path));
}

async function recordOnce(store: CaStore, record: IssuedCertificateRecord): Promise<void> {
  try {
    // It was handed out long ago, whatever was cut off since.
    await store.recordIssued(record, { issuedAtMs: Number.MAX_SAFE_INTEGER });
  } catch (error) {
    if (!(error instanceof BulwarkError) || error.code !== "BW_CA_STORE_SERIAL_TAKEN") throw error;
  }
}

async function* lines(path: string): AsyncGenerator<string> {
  let rest = "";
  try {
    for await (const chunk of createReadStream(path, { encoding: "utf8" })) {
      const parts = `${rest}${chunk}`.split("\n");
      rest = (parts.pop() ?? "").slice(0, MAX_LINE_CHARS);
      yield* parts;
    }
  } catch (cause) {
    throw new BulwarkError("BW_CA_JOURNAL_READ", `cannot read the record of issued certificates, ${path}`, {
      cause,
    });
  }
}

/** Serial of each intermediate that the CA ever had → its key's identifier. */
function intermediateKeyIds(folder: string): ReadonlyMap<string, string> {
  const found = new Map<string, string>();
  for (const file of readdirSync(folder)) {
    const [, keyId] = /^intermediate-([0-9a-f]{40})\.crt\.pem$/.exec(file) ?? [];
    if (keyId === undefined) continue;
    try {
      found.set(new X509Certificate(readFileSync(join(folder, file))).serialNumber.toLowerCase(), keyId);
    } catch {
      // What is not a certificate has signed none.
    }
  }
  return found;
}

function recordOf(line: string, keyIds: ReadonlyMap<string, string>): IssuedCertificateRecord | undefined {
  const fields = fieldsOf(line);
  if (fields === undefined) return undefined;
  const { serial, issuerSerial, keyHash } = fields;
  const spiffeId = parseSpiffeId(fields.spiffeId ?? "")?.id;
  const [notBeforeMs, notAfterMs, issuedAtMs] = [fields.notBefore, fields.notAfter, fields.time].map((time) =>
    Date.parse(time ?? ""),
  );
  if (serial === undefined || issuerSerial === undefined || keyHash === undefined || spiffeId === undefined)
    return undefined;
  if (!isTime(notBeforeMs) || !isTime(notAfterMs) || !isTime(issuedAtMs)) return undefined;
  // A certificate of an intermediate that is gone stays on record, under the one name of it that is left.
  const issuerKeyId = keyIds.get(issuerSerial) ?? issuerSerial;
  return { serial, issuerKeyId, spiffeId, notBeforeMs, notAfterMs, keyHash, issuedAtMs, method: "token" };
}

function isTime(ms: number | undefined): ms is number {
  return ms !== undefined && Number.isFinite(ms);
}

function fieldsOf(line: string): Readonly<Record<string, string | undefined>> | undefined {
  try {
    const value: unknown = JSON.parse(line);
    if (typeof value !== "object" || value === null) return undefined;
    return Object.fromEntries(
      Object.entries(value).filter((entry): entry is [string, string] => typeof entry[1] === "string"),
    );
  } catch {
    return undefined;
  }
}
