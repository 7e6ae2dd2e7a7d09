import { readFileSync } from "node:fs";
import type { PathNormalization } from "../../../src/model/mesh-config.ts";
import { HttpRequest } from "../../../src/policy/http-request.ts";
import { normalizePath } from "../../../src/policy/normalize-path.ts";
import { referencePath } from "../reference-path.ts";
import { corpusRequests } from "../seed-files.ts";
import { type FuzzTarget, law } from "../target.ts";

const MODES: readonly PathNormalization[] = ["NONE", "BASE", "MERGE_SLASHES", "DECODE_AND_MERGE_SLASHES"];
const WORDS =
  "/ // . .. ; ;x %2e %2E %2f %2F %5c %5C %61 %00 %0 % %% %%30%30 %25 %252e %252f \\ ? # a Z ~ ^ [ ] @ : = é %C3%A9 /../ /./ /..;/ /.;a/ \u0000 \u0001 \u007f http:// HTTPS://h user@ * [::1]";

/** As long as HTTP/2 lets a path be. */
const LONG = ["^", "%61", "a/../", "//", "%%30", "/%2e", "..;/"].map(
  (unit) => `/${unit.repeat(Math.floor(60_000 / unit.length))}`,
);

/** Targets in all four modes, beside a second reading of the documents. */
export const pathTarget: FuzzTarget = {
  name: "path",
  about:
    "request targets, normalised in all modes: equal to a slow reference, no dot segments, no slashes left to merge",
  open: async () => ({
    seeds: [...LONG, ...new Set([...corpusRequests().flatMap(({ path }) => path ?? []), ...recorded()])].map(
      (text) => Buffer.from(text, "latin1"),
    ),
    words: WORDS.split(" ").map((word) => Buffer.from(word, "latin1")),
    maxInputBytes: 64 * 1024,
    check: (input) => {
      const target = input.toString("latin1");
      return MODES.map((mode) => checkMode(mode, target)).join(" ");
    },
  }),
};

/** Tricks with what a real Envoy made of them, from the tests. */
function recorded(): string[] {
  const text = readFileSync(`${import.meta.dirname}/../../../test/policy/normalize-path.test.ts`, "utf8");
  return [...text.matchAll(/^ {2}\["([^"]+)",/gm)].map(([, target = ""]) => target.replaceAll("\\\\", "\\"));
}

function checkMode(mode: PathNormalization, target: string): string {
  const result = normalizePath(mode, target);
  const expected = referencePath(mode, target);
  law(result === expected, "the path is the reference's", () =>
    JSON.stringify({ mode, target: target.slice(0, 300), result, expected }).slice(0, 1500),
  );
  HttpRequest.read(mode, "GET", target, "h", []);
  if (result === null) return "refused";
  checkResult(mode, result);
  return result === target ? "same" : result.length < target.length ? "shorter" : "changed";
}

function checkResult(mode: PathNormalization, result: string): void {
  const detail = () => JSON.stringify({ mode, result });
  law(
    /^\/[\x21-\x7e]*$/.test(result) && !result.includes("#"),
    "a path is graphic and begins with a slash",
    detail,
  );
  if (mode === "NONE") return;
  const path = result.replace(/\?.*$/, "");
  const segments = path.split("/");
  law(!segments.includes(".") && !segments.includes(".."), "no dot segments are left", detail);
  law(!path.includes("\\") && !/%00/.test(path), "no backslash and no NUL are left", detail);
  const merges = mode !== "BASE";
  law(!merges || path === "//" || !path.includes("//"), "no double slashes are left", detail);
  law(mode !== "DECODE_AND_MERGE_SLASHES" || !/%(2f|5c)/i.test(path), "no escaped slashes are left", detail);
  // Parameters of dot segments that were escaped (`/%2e%2e;/`) show as such only in the result, as in Envoy.
  if (!/\/\.\.?;/.test(path)) law(normalizePath(mode, result) === result, "a normal path is normal", detail);
}
