import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import {
  advisoryFolder,
  currentAdvisories,
  updateAdvisories,
} from "../../../src/cli/trust/advisory-store.ts";

const scratch = mkdtempSync(join(tmpdir(), "bulwark-advisories-"));
after(() => rmSync(scratch, { recursive: true, force: true }));

const shipped = currentAdvisories(join(scratch, "nothing")).data;
const NOW = Date.parse("2030-06-01");
let files = 0;

function file(value: unknown): string {
  const path = join(scratch, `given-${++files}.json`);
  writeFileSync(path, typeof value === "string" ? value : JSON.stringify(value));
  return path;
}

function folder(): string {
  return join(scratch, `data-${++files}`, "deep");
}

function dated(date: string, drop = 0): unknown {
  const sources = shipped.sources.map((source) => ({ ...source, asOf: date }));
  return { ...shipped, date, sources, advisories: shipped.advisories.slice(drop) };
}

test("a newer file is stored and used from then on, readable by its user alone", () => {
  const to = folder();
  const given = file(dated("2030-05-01"));
  const update = updateAdvisories(given, { folder: to, now: NOW });
  assert.equal(update.date, "2030-05-01");
  assert.equal(update.replaced, shipped.date);
  assert.equal(update.sha256, createHash("sha256").update(readFileSync(given)).digest("hex"));
  const current = currentAdvisories(to);
  assert.deepEqual(
    [current.data.date, current.file, current.refused],
    ["2030-05-01", update.file, undefined],
  );
  assert.equal(statSync(update.file).mode & 0o777, 0o600);
  assert.deepEqual(readdirSync(to), ["advisories.json"]);
});

test("an older file is refused unless forced, and then it is the shipped one that is used", () => {
  const to = folder();
  const old = file(dated("2020-01-01"));
  assert.throws(() => updateAdvisories(old, { folder: to, now: NOW }), /older than the present/);
  updateAdvisories(old, { folder: to, force: true, now: NOW });
  assert.equal(currentAdvisories(to).data.date, shipped.date);
});

test("of two stored one after the other the newer stays", () => {
  const to = folder();
  updateAdvisories(file(dated("2030-05-02")), { folder: to, now: NOW });
  assert.throws(
    () => updateAdvisories(file(dated("2030-05-01")), { folder: to, now: NOW }),
    /older than the present 2030-05-02/,
  );
  assert.equal(currentAdvisories(to).data.date, "2030-05-02");
});

test("a file that leaves out what is known is refused unless forced", () => {
  const to = folder();
  const less = file(dated("2030-05-01", 2));
  assert.throws(() => updateAdvisories(less, { folder: to, now: NOW }), /leaves out 2 advisories/);
  assert.throws(() => statSync(to));
  updateAdvisories(less, { folder: to, force: true, now: NOW });
  assert.equal(currentAdvisories(to).data.advisories.length, shipped.advisories.length - 2);
});

test("a file of tomorrow is refused, forced or not: it would keep out what is really newer", () => {
  for (const force of [false, true])
    assert.throws(
      () => updateAdvisories(file(dated("2031-01-01")), { folder: folder(), force, now: NOW }),
      /yet to come/,
    );
});

test("what is no file of advisories is refused whole, forced or not, and changes nothing", () => {
  const to = folder();
  updateAdvisories(file(dated("2030-05-01")), { folder: to, now: NOW });
  for (const bad of ["{", "[]", { ...(dated("2030-05-03") as object), extra: 1 }])
    assert.throws(
      () => updateAdvisories(file(bad), { folder: to, force: true, now: NOW }),
      /is no JSON|is no file of advisories/,
    );
  assert.throws(
    () => updateAdvisories(join(scratch, "absent.json"), { folder: to, now: NOW }),
    /cannot be read/,
  );
  assert.equal(currentAdvisories(to).data.date, "2030-05-01");
});

test("a stored file that was spoiled is not used, and that is said", () => {
  const to = folder();
  mkdirSync(to, { recursive: true });
  writeFileSync(
    join(to, "advisories.json"),
    JSON.stringify({ ...(dated("2030-05-01") as object), format: "x" }),
  );
  const { data, refused } = currentAdvisories(to);
  assert.equal(data.date, shipped.date);
  assert.match(refused ?? "", /`format` is not valid/);
});

test("the folder is the user's own, by the XDG base directories; a relative one counts as not set", () => {
  assert.equal(advisoryFolder({ XDG_DATA_HOME: "/srv/data" }), "/srv/data/bulwark");
  assert.match(advisoryFolder({ XDG_DATA_HOME: "data" }), /\/\.local\/share\/bulwark$/);
  assert.match(advisoryFolder({}), /\/\.local\/share\/bulwark$/);
});
