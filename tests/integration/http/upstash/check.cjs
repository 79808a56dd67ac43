// @upstash/redis against a server at the URL and with the token that are given: exits with 1 at the first result that
// is not as it should be.
"use strict";

const assert = require("node:assert/strict");
const { Redis } = require("@upstash/redis");

const [url, token] = process.argv.slice(2);
const redis = new Redis({ url, token, retry: false, enableTelemetry: false });

async function checkStrings() {
  assert.equal(await redis.set("key", "välue"), "OK");
  assert.equal(await redis.get("key"), "välue");
  assert.equal(await redis.get("none"), null);
  assert.equal(await redis.set("key", "other", { nx: true }), null);
  assert.equal(await redis.set("goes", "value", { ex: 1000 }), "OK");
  const left = await redis.ttl("goes");
  assert.ok(left > 0 && left <= 1000, `ttl is ${left}`);
  assert.equal(await redis.set("goes", "value", { px: 1 }), "OK");
  while ((await redis.get("goes")) !== null);
  assert.equal(await redis.mset({ a: 1, b: "two" }), "OK");
  assert.deepEqual(await redis.mget("a", "none", "b"), [1, null, "two"]);
  assert.equal(await redis.incrby("a", 41), 42);
  assert.deepEqual(await redis.set("object", { deep: ["☃"] }), "OK");
  assert.deepEqual(await redis.get("object"), { deep: ["☃"] });
  await assert.rejects(redis.incr("b"), /ERR value is not an integer or out of range/);
  assert.equal(await redis.del("key", "a", "b", "object", "none"), 4);
}

async function checkKeys() {
  await redis.mset(Object.fromEntries(Array.from({ length: 100 }, (_, number) => [`scan:${number}`, "x"])));
  const found = new Set();
  let cursor = "0";
  do {
    const [next, keys] = await redis.scan(cursor, { match: "scan:*", count: 10 });
    keys.forEach((key) => found.add(key));
    cursor = String(next);
  } while (cursor !== "0");
  assert.equal(found.size, 100);
}

async function checkPipelines() {
  assert.deepEqual(await redis.pipeline().set("key", "x").get("key").get("none").exec(), ["OK", "x", null]);
  await assert.rejects(redis.pipeline().incr("key").exec(), /ERR value is not an integer/);
  const many = redis.pipeline();
  for (let number = 0; number < 5000; number++) many.incr("n");
  assert.deepEqual(await many.exec(), Array.from({ length: 5000 }, (_, number) => number + 1));
}

async function checkTransactions() {
  assert.deepEqual(await redis.multi().set("key", 1).incr("key").get("key").exec(), ["OK", 2, 2]);
  await assert.rejects(redis.multi().set("key", "must not be there").lpush("list", "x").exec());
  assert.equal(await redis.get("key"), 2);
}

async function main() {
  await checkStrings();
  await checkKeys();
  await checkPipelines();
  await checkTransactions();
  const counts = await Promise.all(Array.from({ length: 200 }, () => redis.incr("counter")));
  assert.equal(new Set(counts).size, 200);
  await assert.rejects(new Redis({ url, token: "a-wrong-one", retry: false }).get("key"), /WRONGPASS/);
  console.log("all as it should be");
}

main().catch((problem) => {
  console.error(problem);
  process.exit(1);
});
