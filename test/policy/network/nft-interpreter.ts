/**
 * The part of nftables that scripts of network policies use, run on one packet at a time as nft(8) describes it. Anything else throws: a rule that cannot be read
 * must not pass for one that does not match.
 */
import { addressRange } from "../../../src/policy/network/address-range.ts";

export interface Packet {
  readonly source: string;
  readonly destination: string;
  readonly protocol: "tcp" | "udp" | "sctp";
  readonly port: number;
  /** What connection tracking says of it. */
  readonly state?: "new" | "established" | "related";
  readonly reply?: boolean;
  readonly connectionMark?: number;
}

export interface Fate {
  readonly verdict: "accept" | "drop" | "reset";
  /** What is written to the packet's and to the connection's mark. */
  readonly packetMark?: number;
  readonly connectionMark?: number;
  readonly logged: readonly string[];
}

interface NftSet {
  readonly type: string;
  readonly isInterval: boolean;
  elements: string[];
}

interface Table {
  readonly sets: Map<string, NftSet>;
  readonly chains: Map<string, string[]>;
}

/** Tables by family and name, as scripts change them. */
export class NftRuleset {
  readonly tables = new Map<string, Table>();

  /** Whole or not at all: a script that names what is not there throws. */
  load(script: string): void {
    const lines = script.split("\n").filter((line) => line.trim() !== "");
    for (let at = 0; at < lines.length; at++) {
      const line = lines[at] ?? "";
      const [, verb = "", rest = ""] = /^(add element|flush set|delete table|table) (.+)$/.exec(line) ?? [];
      if (verb === "table" && rest.endsWith("{}")) this.#table(rest.slice(0, -3));
      else if (verb === "table") at = this.#fill(this.#table(rest.slice(0, -2)), lines, at + 1);
      else if (verb === "delete table") known(this.tables.get(rest), rest) && this.tables.delete(rest);
      else if (verb === "flush set") this.#set(rest).elements = [];
      else if (verb === "add element") this.#add(rest);
      else throw new Error(`cannot read \`${line}\``);
    }
  }

  /** What becomes of a packet that is forwarded. */
  forward(table: string, packet: Packet): Fate {
    return new Run(known(this.tables.get(table), table), packet).fate();
  }

  #table(name: string): Table {
    const table = this.tables.get(name) ?? { sets: new Map(), chains: new Map() };
    this.tables.set(name, table);
    return table;
  }

  #fill(table: Table, lines: readonly string[], start: number): number {
    let chain: string[] | undefined;
    for (let at = start; at < lines.length; at++) {
      const line = (lines[at] ?? "").trim();
      const set = /^set (\w+) \{ type ([\w. ]+);( flags interval;)?(?: elements = \{ (.+) \})? \}$/.exec(
        line,
      );
      const opened = /^chain (\w+) \{$/.exec(line);
      if (set !== null) {
        const [, name = "", type = "", interval, elements] = set;
        const isInterval = interval !== undefined;
        table.sets.set(name, { type, isInterval, elements: elements?.split(", ") ?? [] });
      } else if (opened !== null) {
        chain = [];
        table.chains.set(known(opened[1], line), chain);
      } else if (line === "}" && chain === undefined) return at;
      else if (line === "}") chain = undefined;
      else known(chain, line).push(line);
    }
    throw new Error("a table that does not end");
  }

  #set(path: string): NftSet {
    const name = path.split(" ").at(-1) ?? "";
    const table = path.slice(0, -name.length - 1);
    return known(known(this.tables.get(table), table).sets.get(name), path);
  }

  #add(rest: string): void {
    const [, path = "", elements = ""] = /^(.+) \{ (.+) \}$/.exec(rest) ?? [];
    this.#set(path).elements.push(...elements.split(", "));
  }
}

function known<T>(value: T | undefined, what: string): T {
  if (value === undefined) throw new Error(`no \`${what}\``);
  return value;
}

class Run {
  readonly #table: Table;
  readonly #packet: Packet;
  readonly #family: 4 | 6;
  readonly #logged: string[] = [];
  #packetMark: number | undefined;
  #connectionMark: number | undefined;

  constructor(table: Table, packet: Packet) {
    this.#table = table;
    this.#packet = packet;
    this.#family = addressRange(packet.source)?.family ?? 4;
  }

  fate(): Fate {
    const [base = "", ...rules] = known(this.#table.chains.get("forward"), "forward");
    const [, policy] = /^type filter hook forward priority -?\d+; policy (accept|drop);$/.exec(base) ?? [];
    const verdict = this.#rules(rules) ?? known(policy, base);
    return {
      verdict: verdict as Fate["verdict"],
      logged: this.#logged,
      ...(this.#packetMark === undefined ? {} : { packetMark: this.#packetMark }),
      ...(this.#connectionMark === undefined ? {} : { connectionMark: this.#connectionMark }),
    };
  }

  #rules(rules: readonly string[]): string | undefined {
    for (const rule of rules) {
      const [verdict, ends] = this.#rule(rule.match(/"[^"]*"|\S+/g) ?? []);
      if (ends) return verdict;
    }
    return undefined;
  }

  /** Whether the chain ends here, and how: a verdict, or none, as the chain that was gone to had none. */
  #rule(words: string[]): readonly [verdict: string | undefined, ends: boolean] {
    for (let word = words.shift(); word !== undefined; word = words.shift()) {
      if (word === "accept" || word === "drop") return [word, true];
      if (word === "reject") return [this.#reset(words), true];
      if (word === "jump" || word === "goto") {
        const chain = words.shift() ?? "";
        const verdict = this.#rules(known(this.#table.chains.get(chain), `chain ${chain}`));
        if (word === "goto" || verdict !== undefined) return [verdict, true];
      } else if (!this.#statement(word, words)) return [undefined, false];
    }
    return [undefined, false];
  }

  #reset(words: string[]): string {
    const how = words.splice(0).join(" ");
    if (how !== "with tcp reset" || this.#packet.protocol !== "tcp") throw new Error(`reject ${how}`);
    return "reset";
  }

  #statement(word: string, words: string[]): boolean {
    const next = (): string => words.shift() ?? "";
    switch (word) {
      case "counter":
        return true;
      case "log": {
        const [, prefix = "", , group] = [next(), next(), next(), next()];
        this.#logged.push(`${group} ${prefix.slice(1, -1)}`);
        return true;
      }
      case "ct":
        return this.#connection(next(), next, words);
      case "meta":
        return this.#meta(next(), next);
      case "ip":
      case "ip6":
        return this.#address(word === "ip" ? 4 : 6, next() as "saddr" | "daddr", next, words);
      case "tcp":
      case "udp":
      case "sctp": {
        if (next() !== "dport") throw new Error(word);
        const [first = "", last = first] = next().split("-");
        const { protocol, port } = this.#packet;
        return protocol === word && Number(first) <= port && port <= Number(last);
      }
      default:
        throw new Error(`cannot read \`${word} ${words.join(" ")}\``);
    }
  }

  #connection(key: string, next: () => string, words: readonly string[]): boolean {
    const { state = "new", reply = false, connectionMark = 0 } = this.#packet;
    if (key === "state") return next().split(",").includes(state);
    if (key === "direction") return next() === (reply ? "reply" : "original");
    if (key !== "mark") throw new Error(`ct ${key}`);
    if (words[0] !== "set") return Number(next()) === connectionMark;
    next();
    this.#connectionMark = Number(next());
    return true;
  }

  #meta(key: string, next: () => string): boolean {
    if (key === "nfproto") return next() === `ipv${this.#family}`;
    if (key === "l4proto") return next() === this.#packet.protocol;
    if (key !== "mark" || next() !== "set") throw new Error(`meta ${key}`);
    this.#packetMark = Number(next());
    return true;
  }

  #address(family: 4 | 6, side: "saddr" | "daddr", next: () => string, words: string[]): boolean {
    const address = side === "saddr" ? this.#packet.source : this.#packet.destination;
    const withPort = words[0] === ".";
    if (withPort && words.splice(0, 6).join(" ") !== ". meta l4proto . th dport") throw new Error(side);
    const name = next();
    const set = known(this.#table.sets.get(name.slice(1)), name);
    const type = `ipv${family}_addr${withPort ? " . inet_proto . inet_service" : ""}`;
    if (set.type !== type) throw new Error(`${name} has ${set.type}, asked for ${type}`);
    if (family !== this.#family) return false;
    const { protocol, port } = this.#packet;
    return set.elements.some((element) =>
      withPort ? element === `${address} . ${protocol} . ${port}` : liesIn(address, element, set),
    );
  }
}

function liesIn(address: string, element: string, { isInterval }: NftSet): boolean {
  const [first = "", last = first] = element.split("-");
  if (first !== last && !isInterval) throw new Error(`${element} in a set without intervals`);
  const [own, from, to] = [address, first, last].map((text) => known(addressRange(text), text));
  if (own === undefined || from === undefined || to === undefined || own.family !== from.family) return false;
  return from.first <= own.first && own.first <= to.first;
}
