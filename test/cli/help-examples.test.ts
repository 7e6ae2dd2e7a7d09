import assert from "node:assert/strict";
import { test } from "node:test";
import { Command } from "commander";
import { COMMANDS } from "../../src/cli/command-registry.ts";
import { bulwark } from "./run-bulwark.ts";

interface Example {
  /** The command whose help has it, as `ca revoke`. */
  readonly of: string;
  readonly line: string;
}

/** The whole command line, every command configured; none of them does anything. */
async function commandLine(writeOut: (text: string) => void = () => {}): Promise<Command> {
  const program = new Command("bulwark").exitOverride().configureOutput({ writeOut, writeErr: () => {} });
  for (const { name, load } of COMMANDS) (await load()).configure(program.command(name));
  for (const command of everyCommand(program)) if (command.commands.length === 0) command.action(() => {});
  return program;
}

function everyCommand(command: Command): readonly Command[] {
  return command.commands.flatMap((one) => [one, ...everyCommand(one)]);
}

function nameOf(command: Command): string {
  return command.parent?.parent ? `${nameOf(command.parent)} ${command.name()}` : command.name();
}

async function allExamples(): Promise<readonly Example[]> {
  let help = "";
  const program = await commandLine((text) => {
    help += text;
  });
  return everyCommand(program).flatMap((command) => {
    const of = nameOf(command);
    help = "";
    command.outputHelp();
    const lines = [...help.matchAll(/^ {2}\$ (.+)$/gm)].map(([, line = ""]) => line);
    assert.ok(lines.length > 0, `${of} has no example`);
    return lines.map((line) => ({ of, line }));
  });
}

/** The words behind `bulwark` up to a pipe, a comment or the end of a substitution, as a shell reads them. */
function wordsOf(line: string): readonly string[] {
  const [, rest = ""] = /\bbulwark (.*)$/.exec(line) ?? [];
  const words: string[] = [];
  for (const [, bare = "", quoted = "", stop = ""] of rest.matchAll(
    /((?:[^\s'"|&#)]|(?<=\S)#)*)(?:'([^']*)')?(\s+[|&#]|\)|\s+|$)/g,
  )) {
    if (bare !== "" || quoted !== "") words.push(bare + quoted);
    if (stop === ")" || /[|&#]/.test(stop)) break;
  }
  return words;
}

test("every example in the help of every command is one that its parser takes", async () => {
  const examples = await allExamples();
  assert.ok(examples.length > 40, String(examples.length));
  for (const { of, line } of examples) {
    const words = wordsOf(line);
    if (words.includes("--help")) continue;
    const program = await commandLine();
    const parsed = program.parseAsync([...words], { from: "user" });
    await assert.doesNotReject(parsed, `${of}: ${line} (${JSON.stringify(words)})`);
  }
});

test("examples are read as a shell reads them, and a wrong one would be found", async () => {
  assert.deepEqual(wordsOf("bulwark up k8s/ --app a/b='node app.js' --cert-ttl 10m"), [
    ...["up", "k8s/", "--app", "a/b=node app.js", "--cert-ttl", "10m"],
  ]);
  assert.deepEqual(wordsOf("bulwark ca status | jq '.alerts'"), ["ca", "status"]);
  assert.deepEqual(wordsOf("bulwark ca revoke 5b…   # this one"), ["ca", "revoke", "5b…"]);
  assert.deepEqual(wordsOf('eval "$(bulwark env a/b)" && curl https://x/'), ["env", "a/b"]);
  for (const wrong of ["ca revoke --resaon x", "up", "call a/b", "up k8s/ --cert-ttl soon", "ca crl extra"])
    await assert.rejects((await commandLine()).parseAsync(wrong.split(" "), { from: "user" }), wrong);
});

/** It names a file that whoever tries it has to write. */
const NEEDS_A_FILE = /requests\.json/;

test("every example of `can` decides something", async () => {
  const examples = (await allExamples()).filter(({ of, line }) => of === "can" && !NEEDS_A_FILE.test(line));
  assert.ok(examples.length >= 5);
  await Promise.all(
    examples.map(async ({ line }) => {
      const { code, stderr } = await bulwark(wordsOf(line));
      assert.ok(code === 0 || code === 2, `${line}: ${code} ${stderr}`);
    }),
  );
});
