/** Tests one rule. */
import type { Connection } from "../connection.ts";
import type { HttpRequest } from "../http-request.ts";
import { SLOT_HOST, SLOT_METHOD, SLOT_PATH, SLOT_SNI, SLOT_SUBJECT, type Slot } from "./dimension.ts";
import {
  ANY,
  NEGATED,
  REFUSE,
  type RulePrograms,
  SLOT_MASK,
  SLOT_SHIFT,
  STEP_MASK,
  STEP_MATCH,
  STEP_METHODS,
  STEP_PATHS,
  STEP_PORT,
  STEP_SUBJECTS,
  STEP_TEXT,
} from "./rule-program.ts";
import { textPrint } from "./text-print.ts";

/** @param pathPrint of the request's path. */
export function runProgram(
  programs: RulePrograms,
  start: number,
  connection: Connection,
  request: HttpRequest | null,
  pathPrint: number,
): boolean {
  const { code } = programs;
  for (let at = start; at !== REFUSE; ) {
    const header = code[at] ?? STEP_MATCH;
    const step = header & STEP_MASK;
    if (step === STEP_MATCH) return true;
    let holds: boolean;
    switch (step) {
      case STEP_SUBJECTS:
        holds = isOneOf(programs, at, connection.subject, connection.subjectHash);
        break;
      case STEP_PATHS:
        holds = request !== null && isOneOf(programs, at, request.pathOnly, pathPrint);
        break;
      case STEP_METHODS:
        holds = request !== null && isOneOf(programs, at, request.method, textPrint(request.method));
        break;
      case STEP_TEXT:
        holds = hasText(programs, at, header, connection, request, pathPrint);
        break;
      case STEP_PORT:
        holds = isAmong(code, at, connection.destinationPort);
        break;
      default:
        holds = programs.predicates[code[at + 3] ?? 0]?.(connection, request) ?? false;
    }
    at = (holds === ((header & NEGATED) === 0) ? code[at + 2] : code[at + 1]) ?? REFUSE;
  }
  return false;
}

function isOneOf({ code, texts }: RulePrograms, step: number, text: string | null, print: number): boolean {
  const end = step + 4 + 2 * (code[step + 3] ?? 0);
  for (let at = step + 4; at < end; at += 2) {
    if (code[at] === print && texts[code[at + 1] ?? 0] === text) return true;
  }
  return false;
}

function isAmong(code: Int32Array, step: number, value: number): boolean {
  const end = step + 4 + (code[step + 3] ?? 0);
  for (let at = step + 4; at < end; at++) if (code[at] === value) return true;
  return false;
}

function hasText(
  { code, texts }: RulePrograms,
  step: number,
  header: number,
  connection: Connection,
  request: HttpRequest | null,
  pathPrint: number,
): boolean {
  const slot = ((header >> SLOT_SHIFT) & SLOT_MASK) as Slot;
  const text = textOf(slot, connection, request);
  if (text === null) return false;
  if ((header & ANY) !== 0 && isAnyText(slot, text)) return true;
  let at = step + 6;
  let end = at + 2 * (code[step + 3] ?? 0);
  if (end > at) {
    const print =
      slot === SLOT_SUBJECT ? connection.subjectHash : slot === SLOT_PATH ? pathPrint : textPrint(text);
    for (; at < end; at += 2) if (code[at] === print && texts[code[at + 1] ?? 0] === text) return true;
  }
  end += code[step + 4] ?? 0;
  for (; at < end; at++) if (text.startsWith(texts[code[at] ?? 0] ?? "\n")) return true;
  end += code[step + 5] ?? 0;
  for (; at < end; at++) if (text.endsWith(texts[code[at] ?? 0] ?? "\n")) return true;
  return false;
}

function textOf(slot: Slot, connection: Connection, request: HttpRequest | null): string | null {
  if (slot === SLOT_PATH) return request === null ? null : request.pathOnly;
  if (slot === SLOT_METHOD) return request === null ? null : request.method;
  if (slot === SLOT_HOST) return request === null ? null : request.host;
  return slot === SLOT_SNI ? connection.sni : connection.subject;
}

/** What `*` asks of a text: methods and hosts need only be there (matchesPresentText), others be written (matchesText). */
function isAnyText(slot: Slot, text: string): boolean {
  return slot === SLOT_METHOD || slot === SLOT_HOST || (text !== "" && !text.includes("\n"));
}
