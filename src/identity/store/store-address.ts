import { readFileSync } from "node:fs";
import type { ConnectionOptions } from "node:tls";
import { BulwarkError } from "../../resources/bulwark-error.ts";
import { TLS_PROFILE } from "../tls-profile.ts";

/** Where a shared store is, taken apart. */
export interface PostgresAddress {
  /** The address without its password: for messages. */
  readonly name: string;
  /** Host name, address, or the folder of a Unix socket. */
  readonly host: string;
  readonly port: number;
  readonly database: string;
  readonly user?: string;
  readonly password?: string;
  /** Where the tables are: several meshes may share a database. */
  readonly schema: string;
  readonly tls: false | ConnectionOptions;
}

const PARAMETERS = ["host", "schema", "sslmode", "sslrootcert", "sslcert", "sslkey"] as const;
const SCHEMA = /^[a-z_][a-z0-9_]{0,39}$/;
const DEFAULT_PORT = 5432;

/**
 * Reads `postgres://[user[:password]@]host[:port]/database[?schema=…&sslmode=…&sslrootcert=…&sslcert=…&sslkey=…]`, or with `?host=/folder` a Unix
 * socket's. Beyond this machine TLS is on, with the server's name checked, unless `sslmode` says otherwise in so many words.
 * @throws {BulwarkError} BW_CA_STORE_ADDRESS; the message holds no part that may be a password.
 */
export function parsePostgresAddress(text: string): PostgresAddress {
  const url = parsed(text);
  const parameter = (name: (typeof PARAMETERS)[number]) => url.searchParams.get(name) ?? undefined;
  for (const name of url.searchParams.keys())
    if (!(PARAMETERS as readonly string[]).includes(name))
      refuse(`it has a parameter besides ${PARAMETERS.join(", ")}`);
  const host = parameter("host") ?? decoded(url.hostname.replace(/^\[(.*)\]$/, "$1"));
  const schema = parameter("schema") ?? "bulwark";
  const database = decoded(url.pathname.slice(1));
  if (host === "" || database === "") refuse("it names no host or no database");
  if (!SCHEMA.test(schema)) refuse("its schema is not of at most 40 lower-case letters, digits and _");
  const [user, password] = [decoded(url.username), decoded(url.password)];
  const port = url.port === "" ? DEFAULT_PORT : Number(url.port);
  return {
    name: `postgres://${user === "" ? "" : `${user}@`}${host}:${port}/${database}?schema=${schema}`,
    host,
    port,
    database,
    schema,
    ...(user === "" ? {} : { user }),
    ...(password === "" ? {} : { password }),
    tls: tlsOptions(host, parameter),
  };
}

function parsed(text: string): URL {
  const url = URL.parse(text);
  if (url === null || !/^postgres(ql)?:$/.test(url.protocol))
    return refuse(
      "it is not written as postgres://user@host:port/database (a password with special characters is %-encoded)",
    );
  return url;
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return refuse("a % in it is not followed by two hexadecimal digits");
  }
}

function tlsOptions(
  host: string,
  parameter: (name: "sslmode" | "sslrootcert" | "sslcert" | "sslkey") => string | undefined,
): false | ConnectionOptions {
  const local = host.startsWith("/") || host === "localhost" || host === "::1" || /^127\.[0-9.]+$/.test(host);
  const mode = parameter("sslmode") ?? (local ? "disable" : "verify-full");
  if (mode === "disable") return false;
  if (mode !== "verify-full" && mode !== "verify-ca")
    refuse(
      "its sslmode is not verify-full, verify-ca or disable: the others let anybody answer for the database",
    );
  const file = (name: "sslrootcert" | "sslcert" | "sslkey") => {
    const path = parameter(name);
    return path === undefined ? undefined : readPem(name, path);
  };
  const [ca, cert, key] = [file("sslrootcert"), file("sslcert"), file("sslkey")];
  return {
    ...TLS_PROFILE.outside,
    rejectUnauthorized: true,
    ...(ca === undefined ? {} : { ca }),
    ...(cert === undefined ? {} : { cert }),
    ...(key === undefined ? {} : { key }),
    ...(mode === "verify-ca" ? { checkServerIdentity: () => undefined } : {}),
  };
}

function readPem(name: string, path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    const code = error instanceof Error && "code" in error ? String(error.code) : "unknown error";
    return refuse(`its ${name} cannot be read (${code})`);
  }
}

function refuse(why: string): never {
  throw new BulwarkError("BW_CA_STORE_ADDRESS", `the address of the CA's store cannot be used: ${why}`);
}
