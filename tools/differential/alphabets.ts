/** What policies ask for and what callers send: small, and each a step away from another. */
import { POD } from "./differential-case.ts";

export const PRINCIPALS = [
  "*",
  "cluster.local/ns/foo/sa/sleep",
  "cluster.local/ns/bar/sa/admin",
  "old.domain/ns/foo/sa/sleep",
  "td.example/ns/foo/sa/sleep",
  "other/ns/foo/sa/sleep",
  "*/ns/foo/sa/sleep",
  "*local/ns/foo/sa/sleep",
  "cluster*/ns/foo/sa/sleep",
  "old*/ns/bar/sa/*",
  "*/sa/admin",
  "cluster.local/ns/foo/*",
  "cluster.local/ns/foo/sa/*",
  "cluster.local/*",
  "*sleep",
  "foo",
];
export const NAMESPACES = ["foo", "bar", "foo*", "*prod", "f*o", "*", "nope", "ns", "fo.", "foo-prod"];
export const SERVICE_ACCOUNTS = [
  "sleep",
  "foo/sleep",
  "bar/admin",
  "bar/sleep",
  "foo-prod/sleep-v2",
  "sle.p",
];
export const TRUST_DOMAINS = ["cluster.local", "old.domain", "td.example", "*", "*.local", "old*", "other"];
export const BLOCKS = [
  "10.1.0.5",
  "10.1.0.0/16",
  "10.0.0.0/8",
  "0.0.0.0/0",
  "192.168.7.7/32",
  "10.1.1.0/25",
  "2001:db8::/32",
  "203.0.113.9",
];
export const DESTINATIONS = [POD, `${POD}/24`, "10.0.0.0/8", "192.0.2.0/24", "0.0.0.0/0", "::/0"];
export const ISSUERS = ["iss", "https://a/b", "other"];
export const REQUEST_PRINCIPALS = [
  "*",
  "iss/alice",
  "iss/*",
  "iss/al*",
  "*/alice",
  "*ss/alice",
  "*alice",
  "iss*",
  "https://a/b/bob",
  "https://a/b/*",
  "bob",
];
export const AUDIENCES = ["app", "a*", "*", "*pp", "other"];
export const PRESENTERS = ["cli", "*", "c*"];
export const CLAIM_VALUES = ["dev", "ad*", "*", "r1", "*min", "read write", "1"];
export const HOSTS = [
  "app",
  "APP",
  "*.example.com",
  "www.*",
  "www.example.com:80",
  "*",
  "www.example.com",
  "WWW.*",
];
export const METHODS = ["GET", "POST", "P*", "*T", "*", "get", "OPTIONS"];
export const PATHS = [
  "/",
  "*",
  "/admin",
  "/admin*",
  "/admin/*",
  "*.json",
  "*/users",
  "/api/{*}",
  "/api/{**}",
  "/api/{*}/users",
  "/api/{*}/{**}",
  "/api/{**}/users",
  "/{*}/users",
  "/a%2Fb",
  "/a/b",
];
export const PORTS = ["8080", "9000", "7000"];
export const SERVER_NAMES = ["*", "www.example.com", "*.example.com", "outbound_*", "WWW.example.com"];
export const HEADER_VALUES = ["admin", "adm*", "*min", "*", "dev", "prod"];
export const FORWARDED_FOR = ["*", "10.1.0.5", "10.1.0.5*", "*10.1.1.9", "8.8.8.8*", "*192.168.7.7"];
/** A protocol that nobody in a mesh speaks. */
export const UNKNOWN_ALPN = "foo";
