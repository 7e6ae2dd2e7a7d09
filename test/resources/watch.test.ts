import assert from "node:assert/strict";
import { mkdirSync, readFileSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { loadResources } from "../../src/resources/load.ts";
import { watchResources } from "../../src/resources/watch.ts";
import { inFolder } from "./load-fixture.ts";

/** Longer than any change may take to be seen; a test that waits so long has failed. */
const PATIENCE_MS = 5000;
const PROMISED_MS = 300;

const configMap = (name: string): string => `apiVersion: v1\nkind: ConfigMap\nmetadata: {name: ${name}}\n`;

/** Counts changes, and waits for the next. */
class Changes {
  count = 0;
  #waiting: (() => void) | undefined;

  readonly saw = (): void => {
    this.count++;
    this.#waiting?.();
  };

  /** @returns milliseconds until a change was seen. */
  async after(action: () => void): Promise<number> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const timer = setTimeout(() => reject(new Error("the change was not seen")), PATIENCE_MS);
    this.#waiting = resolve;
    const startedAt = performance.now();
    action();
    await promise.finally(() => clearTimeout(timer));
    this.#waiting = undefined;
    return performance.now() - startedAt;
  }
}

async function whileWatching(
  paths: (folder: string) => string[],
  action: (folder: string, changes: Changes) => Promise<void>,
): Promise<void> {
  await inFolder(async (folder) => {
    writeFileSync(join(folder, "a.yaml"), configMap("first"));
    const changes = new Changes();
    const stop = watchResources(paths(folder), changes.saw);
    try {
      await untilWatching(folder, changes);
      await action(folder, changes);
    } finally {
      stop();
    }
  });
}

/** The watch begins asynchronously: it runs when it sees a change. */
async function untilWatching(folder: string, changes: Changes): Promise<void> {
  const timer = setInterval(() => writeFileSync(join(folder, "a.yaml"), configMap("started")), 100);
  await changes.after(() => {});
  clearInterval(timer);
  // What is still under way from starting must not count for the test.
  let seen = -1;
  while (seen !== changes.count) {
    seen = changes.count;
    await new Promise((resolve) => setTimeout(resolve, 250));
  }
}

test("a saved, renamed, new, removed file, and a file in a new folder, are changes, each seen soon", async () => {
  await whileWatching(
    (folder) => [folder],
    async (folder, changes) => {
      const path = (...names: string[]): string => join(folder, ...names);
      const times = [
        await changes.after(() => writeFileSync(path("a.yaml"), configMap("second"))),
        await changes.after(() => writeFileSync(path("a.yaml"), configMap("thirds"))),
        await changes.after(() => {
          writeFileSync(path(".a.yaml.swp"), configMap("fourth"));
          renameSync(path(".a.yaml.swp"), path("a.yaml"));
        }),
        await changes.after(() => writeFileSync(path("b.json"), "{}")),
        await changes.after(() => rmSync(path("b.json"))),
        await changes.after(() => {
          mkdirSync(path("sub", "deep"), { recursive: true });
          writeFileSync(path("sub", "deep", "c.yml"), configMap("c"));
        }),
        await changes.after(() => writeFileSync(path("sub", "deep", "c.yml"), configMap("c2"))),
        await changes.after(() => rmSync(path("sub"), { recursive: true })),
      ];
      times.sort((a, b) => a - b);
      // Others may have the processors: it is enough that some were seen long before the next look by itself.
      assert.ok((times[2] ?? PATIENCE_MS) < PROMISED_MS, `seen after ${times.map(Math.round)} ms`);
    },
  );
});

test("a ConfigMap that is swapped by its symbolic link is a change", async () => {
  await whileWatching(
    (folder) => [folder],
    async (folder, changes) => {
      const version = (name: string, text: string): void => {
        mkdirSync(join(folder, name));
        writeFileSync(join(folder, name, "mesh.yaml"), text);
        symlinkSync(name, join(folder, "..next"));
        renameSync(join(folder, "..next"), join(folder, "..data"));
      };
      await changes.after(() => {
        version("..1", configMap("one"));
        symlinkSync("..data/mesh.yaml", join(folder, "mesh.yaml"));
      });
      await changes.after(() => version("..2", configMap("two")));
      const { resources } = await loadResources([folder]);
      assert.ok(resources.some(({ name }) => name === "two"));
    },
  );
});

test("a single file is watched through replacements, removal and return; its neighbours are not", async () => {
  await whileWatching(
    (folder) => [join(folder, "a.yaml")],
    async (folder, changes) => {
      const file = join(folder, "a.yaml");
      await changes.after(() => {
        writeFileSync(join(folder, "tmp"), configMap("x"));
        renameSync(join(folder, "tmp"), file);
      });
      const before = changes.count;
      writeFileSync(join(folder, "other.yaml"), configMap("y"));
      await changes.after(() => rmSync(file));
      assert.equal(changes.count, before + 1);
      await changes.after(() => writeFileSync(file, configMap("z")));
    },
  );
});

test("a folder that is removed and made again is watched again", async () => {
  await whileWatching(
    (folder) => [folder],
    async (folder, changes) => {
      await changes.after(() => rmSync(folder, { recursive: true }));
      await changes.after(() => {
        mkdirSync(folder);
        writeFileSync(join(folder, "a.yaml"), configMap("again"));
      });
      await changes.after(() => writeFileSync(join(folder, "a.yaml"), configMap("and again")));
    },
  );
});

test("a half-written file gives errors, and the next save recovers", async () => {
  await whileWatching(
    (folder) => [folder],
    async (folder, changes) => {
      await changes.after(() =>
        writeFileSync(join(folder, "a.yaml"), "apiVersion: v1\nkind: ConfigMap\nmetadata: {na"),
      );
      const broken = await loadResources([folder]);
      assert.deepEqual(
        broken.diagnostics.map(({ code }) => code),
        ["BW1005_SYNTAX"],
      );
      await changes.after(() => writeFileSync(join(folder, "a.yaml"), configMap("good")));
      const mended = await loadResources([folder]);
      assert.deepEqual(mended.diagnostics, []);
      assert.equal(mended.resources.length, 1);
    },
  );
});

test("a save that truncates first, pauses, and then writes is one change, told when all of it is there", async () => {
  await whileWatching(
    (folder) => [folder],
    async (folder, changes) => {
      const file = join(folder, "a.yaml");
      const whole = `${configMap("first")}---\n${configMap("second")}---\n${configMap("third")}`;
      await changes.after(() => writeFileSync(file, whole));
      for (const part of ["", `${configMap("first")}---\n`]) {
        const before = changes.count;
        const tookMs = await changes.after(() => {
          writeFileSync(file, part);
          setTimeout(() => writeFileSync(file, `${whole}# ${part.length}\n`), 200);
        });
        assert.deepEqual([changes.count, readFileSync(file, "utf8").startsWith(whole)], [before + 1, true]);
        assert.ok(tookMs >= 200, `told after ${tookMs} ms`);
      }
    },
  );
});

test("a file that stays shorter, or empty, is told all the same, in under a second", async () => {
  await whileWatching(
    (folder) => [folder],
    async (folder, changes) => {
      const file = join(folder, "a.yaml");
      const times = [
        await changes.after(() => writeFileSync(file, "# ")),
        await changes.after(() => writeFileSync(file, "")),
        await changes.after(() => rmSync(file)),
      ];
      assert.ok(Math.min(...times) >= 400, `told after ${times}`);
      assert.ok(Math.min(...times) < 1000, `told after ${times}`);
    },
  );
});

test("a file that is written without pause does not put a change off for ever", async () => {
  await whileWatching(
    (folder) => [folder],
    async (folder, changes) => {
      let n = 0;
      const writing = setInterval(() => writeFileSync(join(folder, "b.yaml"), configMap(`n${n++}`)), 20);
      try {
        const tookMs = await changes.after(() => writeFileSync(join(folder, "a.yaml"), configMap("x")));
        assert.ok(tookMs >= 1000, `told after ${tookMs} ms, though a file was still being written`);
      } finally {
        clearInterval(writing);
      }
    },
  );
});

test("an aborted watch is silent", async () => {
  await inFolder(async (folder) => {
    const file = join(folder, "a.yaml");
    writeFileSync(file, configMap("a"));
    const controller = new AbortController();
    const [aborted, running] = [new Changes(), new Changes()];
    watchResources([folder], aborted.saw, { signal: controller.signal });
    const stop = watchResources([folder], running.saw);
    try {
      await untilWatching(folder, running);
      controller.abort();
      const before = aborted.count;
      await running.after(() => writeFileSync(file, configMap("b")));
      assert.equal(aborted.count, before);
    } finally {
      stop();
    }
  });
});
