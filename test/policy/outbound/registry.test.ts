/** The mesh's services as proxies are told of them: which stands for a host name, in which order, and who sees it. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { Mesh, Service } from "../../../src/model/mesh.ts";
import { buildRegistry, type Registry, virtualAddress } from "../../../src/policy/outbound/registry.ts";
import { meshConfig, meshOfObjects, written } from "./objects.ts";

const HTTP = { ports: [{ port: 80, name: "http" }] };

function kubernetes(id: string, spec: object = {}, metadata: object = {}): object {
  return written("Service", id, { ...HTTP, ...spec }, metadata);
}

function external(id: string, hosts: readonly string[], spec: object = {}): object {
  return written("ServiceEntry", id, {
    hosts,
    resolution: "STATIC",
    ports: [{ number: 80, name: "http", protocol: "HTTP" }],
    ...spec,
  });
}

function alias(id: string, externalName: string): object {
  return kubernetes(id, { type: "ExternalName", externalName });
}

function names(registry: Registry): readonly string[] {
  return registry.services.map(({ hostname, namespace }) => `${namespace}/${hostname}`);
}

describe("entries", () => {
  test("of a Kubernetes service: one, on its first address", () => {
    const mesh = meshOfObjects(
      kubernetes("foo/Web", {
        clusterIP: "10.0.0.1",
        clusterIPs: ["10.0.0.1", "fd00::1", "fd00::2"],
        selector: {},
      }),
    );
    const [service, ...rest] = buildRegistry(mesh).services;
    assert.deepEqual(rest, []);
    const { group, ...entry } = service ?? assert.fail();
    assert.deepEqual(entry, {
      hostname: "web.foo.svc.cluster.local",
      namespace: "foo",
      kubernetes: true,
      address: "10.0.0.1",
      extraAddresses: ["fd00::1", "fd00::2"],
      ports: mesh.services[0]?.ports,
      resolution: "static",
      external: false,
      aliases: [],
      hasSelector: true,
      model: mesh.services[0],
      exportTo: ["*"],
    });
    assert.deepEqual([group.identities, group.onPort(80)], [[], []]);
  });

  test("of a Kubernetes service without address: a stand-in; of headless ones and aliases the wildcard", () => {
    const { services } = buildRegistry(
      meshOfObjects(
        kubernetes("foo/web"),
        kubernetes("foo/headless", { clusterIP: "None" }),
        alias("foo/alias", "x.example"),
      ),
    );
    assert.deepEqual(
      services.map(
        ({ address, extraAddresses, resolution, externalName, hasSelector, external: outside }) => ({
          address,
          extraAddresses,
          resolution,
          externalName,
          hasSelector,
          outside,
        }),
      ),
      [
        ["0.0.0.0", "alias", "x.example", true],
        ["0.0.0.0", "passthrough", undefined, false],
        ["vip:web.foo.svc.cluster.local", "static", undefined, false],
      ].map(([address, resolution, externalName, outside]) => ({
        address,
        extraAddresses: [],
        resolution,
        externalName,
        hasSelector: false,
        outside,
      })),
    );
    assert.equal(virtualAddress("web"), "vip:web");
  });

  test("of a ServiceEntry: one for each host and address, without what is none", () => {
    const { services } = buildRegistry(
      meshOfObjects(
        external("foo/e", ["A.example"], {
          addresses: [
            "192.0.2.1",
            "192.0.2.2/32",
            "192.0.2.0/24",
            "2001:db8::1/128",
            "2001:db8::/32",
            "nonsense",
          ],
          workloadSelector: { labels: { app: "web" } },
          location: "MESH_EXTERNAL",
        }),
      ),
    );
    assert.deepEqual(
      services.map(({ address }) => address),
      ["192.0.2.1", "192.0.2.2", "192.0.2.0/24", "2001:db8::1", "2001:db8::/32"],
    );
    for (const service of services) {
      const { hostname, kubernetes: native, hasSelector, extraAddresses, external: outside, group } = service;
      assert.deepEqual(
        { hostname, native, hasSelector, extraAddresses, outside },
        { hostname: "a.example", native: false, hasSelector: true, extraAddresses: [], outside: true },
      );
      assert.equal(group, services[0]?.group, "entries of one host share its endpoints");
    }
  });

  test("of a ServiceEntry without addresses: the wildcard; with none that is one: no entry", () => {
    const addressesOf = (addresses?: readonly string[]): readonly string[] =>
      buildRegistry(
        meshOfObjects(external("foo/e", ["a.example"], addresses === undefined ? {} : { addresses })),
      ).services.map(({ address }) => address);
    assert.deepEqual(addressesOf(), ["0.0.0.0"]);
    assert.deepEqual(addressesOf(["nonsense"]), []);
  });

  test("of one host and namespace share endpoints and identities, whichever resources declare them; others do not", () => {
    const entry = (id: string, host: string, name: string): object =>
      external(id, [host], { subjectAltNames: [`spiffe://cluster.local/${name}`] });
    const { services } = buildRegistry(
      meshOfObjects(
        meshConfig({ trustDomainAliases: ["old.local"] }),
        entry("foo/one", "a.example", "one"),
        entry("foo/two", "a.example", "two"),
        entry("bar/three", "a.example", "three"),
        entry("foo/four", "b.example", "four"),
      ),
    );
    const identities = ({ length }: readonly string[], ...own: string[]): string[] => {
      assert.equal(length, 2 * own.length);
      return ["cluster.local", "old.local"].flatMap((domain) =>
        own.map((name) => `spiffe://${domain}/${name}`),
      );
    };
    assert.equal(services[0]?.group, services[1]?.group);
    const expected = [["one", "two"], ["one", "two"], ["three"], ["four"]];
    for (const [index, { group }] of services.entries())
      assert.deepEqual(group.identities, identities(group.identities, ...(expected[index] ?? [])));
  });

  test("are exported as the resource says, else as the mesh does", () => {
    const exported = (settings: object): object[] =>
      buildRegistry(
        meshOfObjects(
          meshConfig(settings),
          kubernetes("foo/own", {}, { annotations: { "networking.istio.io/exportTo": "a,b" } }),
          kubernetes("foo/web"),
        ),
      ).services.map(({ exportTo }) => [...exportTo]);
    assert.deepEqual(exported({}), [["a", "b"], ["*"]]);
    assert.deepEqual(exported({ defaultServiceExportTo: ["."] }), [["a", "b"], ["."]]);
  });
});

describe("order", () => {
  const dated = (object: object, creationTimestamp: string | null): object => {
    const { metadata, ...rest } = object as { metadata: object };
    return { ...rest, metadata: { ...metadata, creationTimestamp } };
  };

  test("Kubernetes services without a time come first, by name, then namespace; others by age", () => {
    const mesh = meshOfObjects(
      external("foo/e2", ["z.example"]),
      external("foo/e1", ["a.example"]),
      dated(kubernetes("foo/dated"), "2026-01-01T00:00:00Z"),
      kubernetes("b/y"),
      kubernetes("a/x-y"),
      kubernetes("c/x"),
      dated(kubernetes("a/x"), null),
      kubernetes("b/x"),
    );
    assert.deepEqual(names(buildRegistry(mesh)), [
      "a/x.a.svc.cluster.local",
      "b/x.b.svc.cluster.local",
      "c/x.c.svc.cluster.local",
      // By name, not by host name: there the dot comes after the hyphen.
      "a/x-y.a.svc.cluster.local",
      "b/y.b.svc.cluster.local",
      "foo/z.example",
      "foo/a.example",
      "foo/dated.foo.svc.cluster.local",
    ]);
  });

  test("of one time: by the host of a ServiceEntry, the name of a Kubernetes service, then by namespace", () => {
    const mesh = meshOfObjects(
      external("b/e", ["b.example", "a.example", "aa"]),
      external("a/e", ["aa"]),
      kubernetes("c/aaa"),
    );
    const sameAge: Mesh = {
      ...mesh,
      services: mesh.services.map(
        (service): Service => ({ ...service, resource: { ...service.resource, createdAt: 0 } }),
      ),
    };
    assert.deepEqual(names(buildRegistry(sameAge)), [
      "b/a.example",
      "a/aa",
      "b/aa",
      "c/aaa.c.svc.cluster.local",
      "b/b.example",
    ]);
  });
});

describe("look-up", () => {
  test("find(): of several in a namespace the oldest, but a Kubernetes service before any ServiceEntry", () => {
    const host = "web.foo.svc.cluster.local";
    const origins = (...objects: object[]): readonly string[] =>
      [...(buildRegistry(meshOfObjects(...objects)).findAll(host) ?? [])].map(
        ([namespace, { model }]) => `${namespace}: ${model.resource.kind} ${model.resource.name}`,
      );
    const [e1, e2] = [external("foo/e1", [host]), external("foo/e2", [host])];
    assert.deepEqual(origins(e1, e2), ["foo: ServiceEntry e1"]);
    const web = kubernetes("foo/web", {}, { creationTimestamp: "2026-01-01T00:00:00Z" });
    assert.deepEqual(origins(e1, web, e2), ["foo: Service web"]);
    assert.deepEqual(origins(web, e2), ["foo: Service web"]);
    assert.deepEqual(origins(e1, external("bar/e3", [host])), [
      "foo: ServiceEntry e1",
      "bar: ServiceEntry e3",
    ]);
  });

  test("find() and findAll() know names and namespaces, nothing else", () => {
    const registry = buildRegistry(meshOfObjects(kubernetes("foo/web")));
    const host = "web.foo.svc.cluster.local";
    const [web] = registry.services;
    assert.equal(registry.find(host, "foo"), web);
    assert.equal(registry.find(host, "bar"), undefined);
    assert.equal(registry.find("other", "foo"), undefined);
    assert.equal(registry.findAll("other"), undefined);
  });

  test("visibleTo(): those exported by name first, then public ones; asked for twice, made once", () => {
    const exported = (id: string, to: string): object =>
      kubernetes(id, {}, { annotations: { "networking.istio.io/exportTo": to } });
    const registry = buildRegistry(
      meshOfObjects(
        kubernetes("foo/a"),
        exported("foo/b", "bar"),
        exported("foo/c", "."),
        exported("foo/d", "~"),
        exported("foo/e", "bar,*"),
        exported("bar/f", "."),
      ),
    );
    const seen = (namespace: string): string =>
      registry
        .visibleTo(namespace)
        .map(({ model }) => model.name)
        .join("");
    assert.deepEqual([seen("foo"), seen("bar"), seen("baz")], ["cae", "bfae", "ae"]);
    assert.equal(registry.visibleTo("foo"), registry.visibleTo("foo"));
    for (const service of registry.services)
      for (const namespace of ["foo", "bar", "baz"])
        assert.equal(
          registry.isVisible(service, namespace),
          registry.visibleTo(namespace).includes(service),
          `${service.hostname} in ${namespace}`,
        );
  });
});

describe("ExternalName services", () => {
  const suffix = ".foo.svc.cluster.local";
  const aliasesOf = (...objects: object[]): Record<string, readonly string[]> =>
    Object.fromEntries(
      buildRegistry(meshOfObjects(...objects))
        .services.filter(({ aliases }) => aliases.length > 0)
        .map(({ model, aliases }) => [model.name, aliases.map((own) => `${own.namespace}/${own.hostname}`)]),
    );

  test("are noted at what they lead to in the end, by namespace and name", () => {
    assert.deepEqual(
      aliasesOf(
        kubernetes("foo/web"),
        alias("foo/b", `web${suffix}`),
        alias("foo/a", `b${suffix}`),
        alias("bar/c", `a${suffix}`),
        alias("foo/elsewhere", "elsewhere.example"),
        kubernetes("foo/other"),
      ),
      { web: ["bar/c.bar.svc.cluster.local", `foo/a${suffix}`, `foo/b${suffix}`] },
    );
  });

  test("in a loop lead nowhere, nor do those that lead into one", () => {
    assert.deepEqual(
      aliasesOf(
        kubernetes("foo/web"),
        alias("foo/a", `b${suffix}`),
        alias("foo/b", `a${suffix}`),
        alias("foo/c", `a${suffix}`),
        alias("foo/self", `self${suffix}`),
        alias("foo/d", `web${suffix}`),
      ),
      { web: [`foo/d${suffix}`] },
    );
  });

  test("without any of them services are as they are", () => {
    assert.deepEqual(aliasesOf(kubernetes("foo/web")), {});
  });
});
