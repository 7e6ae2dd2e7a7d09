import assert from "node:assert/strict";
import { Resolver } from "node:dns/promises";
import { connect } from "node:net";
import { after, test } from "node:test";
import { DnsServer, type LookUp } from "../../../src/dataplane/dns/dns-server.ts";
import { standInNames } from "../../../src/dataplane/dns/stand-in-names.ts";

const PORT = 15353;
const ADDRESS = "127.9.53.1";
const KNOWN: Readonly<Record<string, readonly string[]>> = {
  "app.team.svc.cluster.local": ["10.96.1.2", "fd00:10:96::102"],
  "only4.example": ["10.96.1.3"],
};

const forwarded: Buffer[] = [];
const server = new DnsServer({
  addresses: [ADDRESS],
  port: PORT,
  lookUp: (name) => KNOWN[name],
  forward: async (query) => {
    forwarded.push(query);
    if (query.includes("slow")) throw new Error("no answer");
    const answer = Buffer.from(query);
    answer.writeUInt16BE(0x8183, 2);
    return answer;
  },
});
const resolver = new Resolver({ timeout: 5000, tries: 1 });
resolver.setServers([`${ADDRESS}:${PORT}`]);
after(() => server.close());

test("a known name has its addresses by family, and none of the other family is no error of the name", async () => {
  await server.listen();
  assert.deepEqual(await resolver.resolve4("app.team.svc.cluster.local"), ["10.96.1.2"]);
  assert.deepEqual(await resolver.resolve6("app.team.svc.cluster.local"), ["fd00:10:96::102"]);
  await assert.rejects(resolver.resolve6("only4.example"), { code: "ENODATA" });
  await assert.rejects(resolver.resolveTxt("only4.example"), { code: "ENODATA" });
  assert.equal(forwarded.length, 0);
});

test("what nobody knows is asked of the next server: its answer is given, its silence is a failure", async () => {
  await assert.rejects(resolver.resolve4("else.example"), { code: "ENOTFOUND" });
  await assert.rejects(resolver.resolve4("slow.example"), { code: "ESERVFAIL" });
  assert.equal(forwarded.length, 2);
});

test("over TCP two queries in one piece are answered in order, and what is no query ends the connection", async () => {
  const query = (name: string, id: number): Buffer => {
    const labels = name.split(".").map((label) => `${String.fromCharCode(label.length)}${label}`);
    const head = Buffer.from([id >> 8, id & 255, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    const message = Buffer.concat([
      head,
      Buffer.from(`${labels.join("")}\0`, "latin1"),
      Buffer.from([0, 1, 0, 1]),
    ]);
    return Buffer.concat([Buffer.from([message.length >> 8, message.length & 255]), message]);
  };
  const socket = connect(PORT, ADDRESS);
  let seen: Buffer = Buffer.alloc(0);
  socket.on("data", (chunk: Buffer) => {
    seen = Buffer.concat([seen, chunk]);
  });
  socket.write(
    Buffer.concat([query("only4.example", 1), query("only4.example", 2), Buffer.from([0, 3, 1, 2, 3])]),
  );
  await new Promise((resolve) => socket.once("close", resolve));
  const second = 2 + seen.readUInt16BE(0);
  assert.deepEqual([seen.readUInt16BE(2), seen.readUInt16BE(second + 2)], [1, 2]);
  assert.equal(seen.length, second + 2 + seen.readUInt16BE(second));
});

test("stand-ins' names: exact before the longest pattern, and a pattern is no name of its own", () => {
  const lookUp: LookUp = standInNames([
    { host: "*.ibm.com", address: "198.18.0.1" },
    { host: "*.cloud.ibm.com", address: "198.18.0.2" },
    { host: "www.ibm.com", address: "198.18.0.3", address6: "2001:db8:18::3" },
  ]);
  assert.deepEqual(lookUp("www.ibm.com"), ["198.18.0.3", "2001:db8:18::3"]);
  assert.deepEqual(lookUp("a.b.ibm.com"), ["198.18.0.1"]);
  assert.deepEqual(lookUp("x.cloud.ibm.com"), ["198.18.0.2"]);
  assert.equal(lookUp("ibm.com"), undefined);
  assert.equal(lookUp(".ibm.com"), undefined);
});
