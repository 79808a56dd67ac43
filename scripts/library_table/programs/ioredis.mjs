import assert from "node:assert/strict";
import { once } from "node:events";
import Redis from "ioredis";

export async function stringsAndTransactions(url) {
  const redis = new Redis(url);
  assert.deepEqual(await redis.pipeline().set("key", "1").incr("key").exec(), [[null, "OK"], [null, 2]]);
  assert.deepEqual(await redis.multi().incr("key").get("key").exec(), [[null, 3], [null, "3"]]);
}

export async function publishSubscribe(url) {
  const [redis, subscriber] = [new Redis(url), new Redis(url)];
  await subscriber.subscribe("news");
  const message = once(subscriber, "message");
  await redis.publish("news", "hello");
  assert.deepEqual(await message, ["news", "hello"]);
}

export async function scripts(url) {
  const redis = new Redis(url);
  redis.defineCommand("double", { numberOfKeys: 1, lua: "return 2 * redis.call('GET', KEYS[1])" });
  await redis.set("key", "2");
  assert.equal(await redis.double("key"), 4);
}
