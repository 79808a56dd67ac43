// node-redis with its client-side cache, which needs CLIENT TRACKING and RESP3.
"use strict";

const assert = require("node:assert/strict");
const { setTimeout: pause } = require("node:timers/promises");
const { createClient, BasicClientSideCache } = require("redis");

const url = `redis://127.0.0.1:${process.argv[2]}`;

async function readUntil(client, key, expected) {
  for (let left = 5000; left > 0 && (await client.get(key)) !== expected; left--) await pause(5);
  assert.equal(await client.get(key), expected);
}

async function check() {
  const cache = new BasicClientSideCache();
  const reader = createClient({ url, RESP: 3, clientSideCache: cache });
  const writer = createClient({ url });
  await Promise.all([reader.connect(), writer.connect()]);

  await writer.set("node:a", "1");
  assert.deepEqual([await reader.get("node:a"), await reader.get("node:a")], ["1", "1"]);
  assert.deepEqual([cache.stats().hitCount, cache.stats().missCount], [1, 1]);

  await writer.set("node:a", "2");
  await readUntil(reader, "node:a", "2");

  await reader.mGet(["node:a", "node:b"]);
  await writer.set("node:b", "3");
  await readUntil(reader, "node:b", "3");

  await writer.flushAll();
  await readUntil(reader, "node:a", null);

  reader.destroy();
  writer.destroy();
}

check().then(() => console.log("all as it should be"));
