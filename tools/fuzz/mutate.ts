import type { Random } from "./random.ts";

/** Lengths and counts at which readers err. */
const EDGES: readonly [number, ...number[]] = [0, 1, 2, 3, 4, 5, 0x7f, 0x80, 0xfe, 0xff];
const EDGE_NUMBERS: readonly [string, ...string[]] = [
  "0",
  "1",
  "-1",
  "00",
  "65535",
  "65536",
  "2147483648",
  "9007199254740991",
  "9007199254740993",
  "18446744073709551616",
  "1e3",
  "0x10",
];

export interface Material {
  readonly corpus: readonly Buffer[];
  readonly words: readonly Buffer[];
  readonly maxInputBytes: number;
}

type Mutation = (input: Buffer, random: Random, material: Material) => Buffer;

/** Changes one of the corpus a few times; now and then an input of words alone. */
export function mutant(random: Random, material: Material): Buffer {
  const { corpus, words, maxInputBytes } = material;
  if (words.length > 0 && random.chance(20)) return ofWords(random, material);
  let input = pickShort(corpus, random);
  const times = 1 + random.size(6);
  for (let n = 0; n < times; n++) input = random.pick(MUTATIONS)(input, random, material);
  return input.length > maxInputBytes ? input.subarray(0, maxInputBytes) : input;
}

/** Of several: a long input takes the time of a hundred short ones. */
function pickShort(corpus: readonly Buffer[], random: Random): Buffer {
  let picked: Buffer = corpus[random.below(corpus.length)] ?? Buffer.alloc(0);
  for (let n = random.pick([0, 1, 2, 3, 4]); n > 0; n--) {
    const other = corpus[random.below(corpus.length)] ?? picked;
    if (other.length < picked.length) picked = other;
  }
  return picked;
}

function ofWords(random: Random, { words }: Material): Buffer {
  const parts = Array.from({ length: 1 + random.size(60) }, () => words[random.below(words.length)]);
  return Buffer.concat(parts.filter((part) => part !== undefined));
}

const MUTATIONS: readonly [Mutation, ...Mutation[]] = [
  flipBit,
  setByte,
  dropRange,
  dropRange,
  doubleRange,
  moveRange,
  insertWord,
  insertWord,
  insertWord,
  replaceByWord,
  splice,
  cut,
  changeNumber,
  changeLine,
  changeLine,
  repeatMuch,
];

function replace(input: Buffer, start: number, end: number, by: Uint8Array): Buffer {
  return Buffer.concat([input.subarray(0, start), by, input.subarray(end)]);
}

function range(input: Buffer, random: Random): [start: number, end: number] {
  const start = random.below(input.length + 1);
  return [start, Math.min(input.length, start + 1 + random.size(random.chance(4) ? input.length : 12))];
}

function flipBit(input: Buffer, random: Random): Buffer {
  const at = random.below(input.length);
  return replace(input, at, at + 1, Uint8Array.of((input[at] ?? 0) ^ (1 << random.below(8))));
}

function setByte(input: Buffer, random: Random): Buffer {
  const at = random.below(input.length);
  const byte = random.chance(2) ? random.pick(EDGES) : random.below(256);
  return replace(input, at, at + 1, Uint8Array.of(byte));
}

function dropRange(input: Buffer, random: Random): Buffer {
  const [start, end] = range(input, random);
  return replace(input, start, end, Buffer.alloc(0));
}

function doubleRange(input: Buffer, random: Random): Buffer {
  const [start, end] = range(input, random);
  return replace(input, end, end, input.subarray(start, end));
}

function moveRange(input: Buffer, random: Random): Buffer {
  const [start, end] = range(input, random);
  const rest = replace(input, start, end, Buffer.alloc(0));
  const to = random.below(rest.length + 1);
  return replace(rest, to, to, input.subarray(start, end));
}

function insertWord(input: Buffer, random: Random, { words }: Material): Buffer {
  const at = random.below(input.length + 1);
  return replace(input, at, at, words[random.below(words.length)] ?? Buffer.alloc(0));
}

function replaceByWord(input: Buffer, random: Random, { words }: Material): Buffer {
  const [start, end] = range(input, random);
  return replace(input, start, end, words[random.below(words.length)] ?? Buffer.alloc(0));
}

function splice(input: Buffer, random: Random, { corpus }: Material): Buffer {
  const other = corpus[random.below(corpus.length)] ?? input;
  const [start, end] = range(other, random);
  const at = random.below(input.length + 1);
  return random.chance(2)
    ? Buffer.concat([input.subarray(0, at), other.subarray(start)])
    : replace(input, at, at, other.subarray(start, end));
}

function cut(input: Buffer, random: Random): Buffer {
  return input.subarray(0, random.below(input.length + 1));
}

/** A number in digits becomes another. */
function changeNumber(input: Buffer, random: Random): Buffer {
  const found = [...input.toString("latin1").matchAll(/\d+/g)];
  const match = found[random.below(found.length)];
  if (match === undefined) return setByte(input, random);
  const by = random.chance(2)
    ? random.pick(EDGE_NUMBERS)
    : String(Math.max(0, Number(match[0]) + random.below(5) - 2));
  return replace(input, match.index, match.index + match[0].length, Buffer.from(by));
}

/** Drops, doubles, swaps or indents a line. */
function changeLine(input: Buffer, random: Random): Buffer {
  const lines = input.toString("latin1").split("\n");
  const at = random.below(lines.length);
  const line = lines[at] ?? "";
  const other = random.below(lines.length);
  const changed: readonly [() => void, ...(() => void)[]] = [
    () => lines.splice(at, 1),
    () => lines.splice(at, 0, line),
    () => lines.splice(at, 1, ` ${line}`),
    () => lines.splice(at, 1, line.replace(/^ {1,2}/, "")),
    () => {
      lines[at] = lines[other] ?? "";
      lines[other] = line;
    },
    () => lines.splice(other, 0, ...lines.slice(at, at + 1 + random.below(6))),
  ];
  random.pick(changed)();
  return Buffer.from(lines.join("\n"), "latin1");
}

/** What a reader does in quadratic time shows only at length. */
function repeatMuch(input: Buffer, random: Random, { maxInputBytes }: Material): Buffer {
  if (!random.chance(8)) return doubleRange(input, random);
  const [start, end] = range(input, random);
  const room = Math.max(0, maxInputBytes - input.length);
  const times = Math.floor(room / Math.max(1, end - start) / (1 + random.below(16)));
  return replace(input, end, end, Buffer.concat(new Array(times).fill(input.subarray(start, end))));
}
