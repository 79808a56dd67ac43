import assert from "node:assert/strict";
import { BasicClientSideCache, createClient } from "redis";

export async function stringsAndTransactions(url) {
  const client = await createClient({ url }).connect();
  assert.equal(await client.set("key", "1", { expiration: { type: "EX", value: 100 } }), "OK");
  assert.deepEqual(await client.multi().incr("key").get("key").exec(), [2, "2"]);
  assert.equal((await client.clientList()).length > 0, true);
}

export async function publishSubscribe(url) {
  const client = await createClient({ url }).connect();
  const subscriber = await client.duplicate().connect();
  const message = new Promise((resolve) => subscriber.subscribe("news", resolve));
  while ((await client.publish("news", "hello")) === 0);
  assert.equal(await message, "hello");
}

export async function clientSideCache(url) {
  const cache = new BasicClientSideCache();
  const client = await createClient({ url, RESP: 3, clientSideCache: cache }).connect();
  await client.set("key", "1");
  assert.deepEqual([await client.get("key"), await client.get("key")], ["1", "1"]);
  assert.equal(cache.stats().hitCount, 1);
}

export async function scripts(url) {
  const client = await createClient({ url }).connect();
  assert.equal(await client.eval("return ARGV[1]", { arguments: ["a"] }), "a");
}
