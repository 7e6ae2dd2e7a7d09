/** Reads the rules file of `bulwark authorizer`: every problem is told with its place, and none is passed over. */
import { load } from "js-yaml";
import { durationMs } from "../model/mesh-config.ts";
import { suggestion } from "../resources/did-you-mean.ts";
import { KUBERNETES_SCHEMA } from "../resources/yaml-schema.ts";
import type {
  AccessRule,
  AccessRules,
  Condition,
  ContextOrigin,
  ContextValue,
  KeySource,
  Subject,
  ValuePath,
} from "./access-rules.ts";
import { DAYS, isZone, parseMinute, type TimeWindow } from "./time-window.ts";

export type ReadRules =
  | { readonly ok: true; readonly rules: AccessRules }
  | { readonly ok: false; readonly problems: readonly string[] };

type Fields = Readonly<Record<string, unknown>>;

/** @param text YAML or JSON. */
export function readRules(text: string): ReadRules {
  const reader = new RulesReader();
  const rules = reader.read(parse(text, reader));
  return reader.problems.length === 0 ? { ok: true, rules } : { ok: false, problems: reader.problems };
}

function parse(text: string, reader: RulesReader): unknown {
  try {
    return load(text, { schema: KUBERNETES_SCHEMA, maxAliases: 100 });
  } catch (error) {
    const reason = error instanceof Error && "reason" in error ? String(error.reason) : "it cannot be parsed";
    reader.problems.push(`the file is not valid YAML: ${reason}`);
    return {};
  }
}

const DEFAULT_MAX_AGE_MS = 10_000;
const DEFAULT_EVERY_MS = 500;
const DEFAULT_TIMEOUT_MS = 400;
const REQUEST_FIELDS = ["method", "path", "host", "headers"];

class RulesReader {
  readonly problems: string[] = [];
  #subjects: ReadonlySet<string> = new Set();

  read(given: unknown): AccessRules {
    const file = this.#map(given, "the file", ["context", "subjects", "rules", "setHeaders"]);
    const subjects = this.#readSubjects(file.subjects);
    this.#subjects = new Set(subjects.map(({ name }) => name));
    return {
      context: this.#readContext(file.context),
      subjects,
      rules: this.#list(file.rules, "rules").map((rule, index) => this.#readRule(rule, `rules[${index}]`)),
      setHeaders: Object.entries(this.#optionalMap(file.setHeaders, "setHeaders")).map(([name, value]) => [
        this.#headerName(name, "setHeaders"),
        this.#readValue(value, `setHeaders.${name}`),
      ]),
    };
  }

  #readContext(given: unknown): ContextOrigin {
    const context = this.#map(given, "context", ["file", "http", "maxAge"]);
    const maxAgeMs = this.#duration(context.maxAge, "context.maxAge", DEFAULT_MAX_AGE_MS);
    if ((context.file === undefined) === (context.http === undefined))
      this.problems.push("context: name one source, `file` or `http`");
    if (context.http === undefined)
      return { kind: "file", path: this.#text(context.file, "context.file"), maxAgeMs };
    const http = this.#map(context.http, "context.http", ["url", "every", "timeout"]);
    const url = this.#text(http.url, "context.http.url");
    if (!URL.canParse(url) || !/^https?:\/\//.test(url))
      this.problems.push(`context.http.url: \`${url}\` is no http or https URL`);
    return {
      kind: "http",
      url,
      everyMs: this.#duration(http.every, "context.http.every", DEFAULT_EVERY_MS),
      timeoutMs: this.#duration(http.timeout, "context.http.timeout", DEFAULT_TIMEOUT_MS),
      maxAgeMs,
    };
  }

  #readSubjects(given: unknown): Subject[] {
    return Object.entries(this.#optionalMap(given, "subjects")).map(([name, value]) => {
      const place = `subjects.${name}`;
      if (!/^[a-z][A-Za-z0-9]*$/.test(name) || ["request", "source", "destination"].includes(name))
        this.problems.push(`${place}: \`${name}\` cannot be a subject's name`);
      const subject = this.#map(value, place, ["table", "key"]);
      return {
        name,
        table: this.#text(subject.table, `${place}.table`),
        key: this.#readKey(subject.key, `${place}.key`),
      };
    });
  }

  #readKey(given: unknown, place: string): KeySource {
    if (given === "principal" || given === "ip") return { kind: given };
    if (isMap(given)) {
      const { header } = this.#map(given, place, ["header"]);
      return { kind: "header", header: this.#headerName(header, place) };
    }
    this.problems.push(`${place}: write \`principal\`, \`ip\` or \`{header: NAME}\``);
    return { kind: "principal" };
  }

  #readRule(given: unknown, place: string): AccessRule {
    const rule = this.#map(given, place, ["name", "effect", "when", "message"]);
    const { effect } = rule;
    if (effect !== "allow" && effect !== "deny")
      this.problems.push(`${place}.effect: write \`allow\` or \`deny\``);
    const conditions = rule.when === undefined ? [] : this.#list(rule.when, `${place}.when`);
    return {
      name: this.#text(rule.name, `${place}.name`),
      effect: effect === "allow" ? "allow" : "deny",
      conditions: conditions.map((condition, index) =>
        this.#readCondition(condition, `${place}.when[${index}]`),
      ),
      message: rule.message === undefined ? "access denied" : this.#text(rule.message, `${place}.message`),
    };
  }

  #readCondition(given: unknown, place: string): Condition {
    const tests = ["is", "isNot", "below", "above", "contains", "matches"];
    const condition = this.#map(given, place, ["value", "time", ...tests]);
    if (condition.time !== undefined) {
      if (Object.keys(condition).length > 1) this.problems.push(`${place}: \`time\` stands alone`);
      return { kind: "time", window: this.#readWindow(condition.time, `${place}.time`) };
    }
    const value = this.#readValue(condition.value, `${place}.value`);
    const [kind, ...more] = tests.filter((test) => condition[test] !== undefined);
    if (kind === undefined || more.length > 0)
      this.problems.push(`${place}: one test is wanted, of ${tests.join(", ")}`);
    const expected = condition[kind ?? ""];
    switch (kind) {
      case "below":
      case "above":
        if (typeof expected !== "number") this.problems.push(`${place}.${kind}: a number is wanted`);
        return { kind, value, limit: typeof expected === "number" ? expected : Number.NaN };
      case "matches":
        return { kind, value, patterns: this.#values(expected, `${place}.matches`).map(String) };
      case "isNot":
      case "contains":
        return { kind, value, expected: this.#values(expected, `${place}.${kind}`) };
      default:
        return { kind: "is", value, expected: this.#values(expected, `${place}.is`) };
    }
  }

  #readWindow(given: unknown, place: string): TimeWindow {
    const window = this.#map(given, place, ["days", "from", "to", "zone"]);
    const days = window.days === undefined ? [] : this.#list(window.days, `${place}.days`).map(String);
    for (const day of days)
      if (!DAYS.includes(day)) this.problems.push(`${place}.days: \`${day}\` is none of ${DAYS.join(", ")}`);
    const zone = window.zone === undefined ? "UTC" : this.#text(window.zone, `${place}.zone`);
    if (!isZone(zone)) this.problems.push(`${place}.zone: \`${zone}\` is no time zone`);
    return {
      days: days.map((day) => DAYS.indexOf(day)),
      fromMinute: this.#minute(window.from, `${place}.from`),
      toMinute: this.#minute(window.to, `${place}.to`),
      zone,
    };
  }

  #minute(given: unknown, place: string): number {
    const minute = typeof given === "string" ? parseMinute(given) : undefined;
    if (minute === undefined) this.problems.push(`${place}: a time like \`08:00\` is wanted`);
    return minute ?? 0;
  }

  #readValue(given: unknown, place: string): ValuePath {
    const text = this.#text(given, place);
    const [root = "", ...fields] = splitPath(text);
    const [first = "", ...more] = fields;
    const known =
      this.#subjects.has(root) && fields.length > 0
        ? true
        : root === "request"
          ? REQUEST_FIELDS.includes(first) && more.length === (first === "headers" ? 1 : 0)
          : root === "source"
            ? (first === "principal" || first === "ip") && more.length === 0
            : root === "destination" && first === "port" && more.length === 0;
    if (!known && text !== "") {
      const roots = [...this.#subjects, "request", "source", "destination"];
      this.problems.push(
        `${place}: \`${text}\` is no value that there is. ${suggestion(root, roots)}`.trim(),
      );
    }
    return { text, root, fields };
  }

  /** A value or a list of values; never empty. */
  #values(given: unknown, place: string): readonly ContextValue[] {
    const list = Array.isArray(given) ? given : [given];
    if (
      list.length === 0 ||
      list.some((value) => value === null || !["string", "number", "boolean"].includes(typeof value))
    )
      this.problems.push(`${place}: texts, numbers or booleans are wanted`);
    return list as readonly ContextValue[];
  }

  #headerName(given: unknown, place: string): string {
    const name = String(given).toLowerCase();
    if (!/^[a-z0-9!#$%&'*+.^_`|~-]+$/.test(name))
      this.problems.push(`${place}: \`${name}\` is no header's name`);
    return name;
  }

  #duration(given: unknown, place: string, otherwise: number): number {
    if (given === undefined) return otherwise;
    const ms = durationMs(given);
    if (ms === undefined || ms <= 0) this.problems.push(`${place}: a duration like \`500ms\` is wanted`);
    return ms ?? otherwise;
  }

  #text(given: unknown, place: string): string {
    if (typeof given === "string" && given !== "") return given;
    this.problems.push(`${place}: a text is wanted`);
    return "";
  }

  #list(given: unknown, place: string): readonly unknown[] {
    if (Array.isArray(given) && given.length > 0) return given;
    this.problems.push(`${place}: a list is wanted`);
    return [];
  }

  #optionalMap(given: unknown, place: string): Fields {
    return given === undefined ? {} : this.#map(given, place);
  }

  #map(given: unknown, place: string, known?: readonly string[]): Fields {
    if (!isMap(given)) {
      this.problems.push(`${place}: a map is wanted`);
      return {};
    }
    for (const field of Object.keys(given)) {
      if (known?.includes(field) === false)
        this.problems.push(`${place}: unknown field \`${field}\`. ${suggestion(field, known)}`.trim());
    }
    return given;
  }
}

/** `a.b."c.d"`: a quoted field may hold dots. */
function splitPath(text: string): string[] {
  return [...text.matchAll(/"([^"]*)"|[^."]+/g)].map(([whole, quoted]) => quoted ?? whole);
}

function isMap(value: unknown): value is Fields {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
