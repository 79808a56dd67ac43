// ioredis against a server on the port and in the version of RESP that are given, with a password and over TLS if one and the file of an authority are: exits with 1 at the first result that is not as it should be.
"use strict";

const assert = require("node:assert/strict");
const { readFileSync } = require("node:fs");
const { once } = require("node:events");
const Redis = require("ioredis");

const [port, protocol] = process.argv.slice(2).map(Number);
const [password, authority] = process.argv.slice(4);
const tls = authority && { ca: readFileSync(authority), servername: "localhost" };
const options = { port, host: "127.0.0.1", protocol, password, retryStrategy: null, maxRetriesPerRequest: 0, tls };

async function checkStrings(redis) {
  assert.equal(await redis.set("key", "välue"), "OK");
  assert.equal(await redis.get("key"), "välue");
  assert.deepEqual(await redis.getBuffer("key"), Buffer.from("välue"));
  const bytes = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte));
  assert.equal(await redis.set(bytes, bytes), "OK");
  assert.deepEqual(await redis.getBuffer(bytes), bytes);
  assert.equal(await redis.get("none"), null);
  assert.equal(await redis.set("key", "other", "NX"), null);
  assert.equal(await redis.set("goes", "value", "EX", 1000), "OK");
  const left = await redis.ttl("goes");
  assert.ok(left > 0 && left <= 1000, `ttl is ${left}`);
  assert.equal(await redis.set("goes", "value", "PX", 30), "OK");
  while ((await redis.get("goes")) !== null);
  assert.equal(await redis.ttl("goes"), -2);
  assert.equal(await redis.mset("a", 1, "b", "two"), "OK");
  assert.deepEqual(await redis.mget("a", "none", "b"), ["1", null, "two"]);
  assert.equal(await redis.incrby("a", 41), 42);
  await assert.rejects(redis.incr("b"), { name: "ReplyError", message: "ERR value is not an integer or out of range" });
  assert.equal(await redis.del("key", bytes, "a", "b", "none"), 4);
}

async function checkBitmaps(redis) {
  assert.equal(await redis.setbit("bits", 7, 1), 0);
  assert.deepEqual([await redis.getbit("bits", 7), await redis.bitcount("bits"), await redis.bitpos("bits", 1)], [1, 1, 7]);
  assert.equal(await redis.bitop("NOT", "inverse", "bits"), 1);
  assert.deepEqual(await redis.bitfield("bits", "GET", "u8", 0, "OVERFLOW", "FAIL", "INCRBY", "u8", 0, 255), [1, null]);
  assert.deepEqual(await redis.bitfield_ro("inverse", "GET", "u8", 0), [254]);
  assert.equal(await redis.restore("copy", 0, await redis.dumpBuffer("inverse")), "OK");
  assert.deepEqual(await redis.getBuffer("copy"), Buffer.from([254]));
  assert.equal(await redis.del("bits", "inverse", "copy"), 3);
}

async function checkPipelines(redis) {
  const replies = await redis.pipeline().set("key", "x").get("key").incr("key").get("none").exec();
  assert.deepEqual([replies[0], replies[1], replies[3]], [[null, "OK"], [null, "x"], [null, null]]);
  assert.equal(replies[2][0].message, "ERR value is not an integer or out of range");
  const many = redis.pipeline();
  for (let number = 0; number < 5000; number++) many.incr("n");
  const expected = Array.from({ length: 5000 }, (_, number) => [null, number + 1]);
  assert.deepEqual(await many.exec(), expected);
}

async function checkTransactions(redis, other) {
  const replies = await redis.multi().set("key", "1").incr("key").get("key").exec();
  assert.deepEqual(replies, [[null, "OK"], [null, 2], [null, "2"]]);
  await redis.watch("key");
  await other.set("key", "changed");
  assert.equal(await redis.multi().set("key", "must not be there").exec(), null);
  await redis.watch("key");
  assert.deepEqual(await redis.multi().get("key").exec(), [[null, "changed"]]);
  await assert.rejects(redis.multi().set("key", "must not be there").call("NOPE").exec(), /EXECABORT/);
  assert.equal(await redis.get("key"), "changed");
}

async function increment(redis) {
  for (;;) {
    await redis.watch("counter");
    const number = Number((await redis.get("counter")) ?? 0);
    if ((await redis.multi().set("counter", number + 1).exec()) !== null) return;
  }
}

async function checkCounting(clients) {
  const rounds = Array.from({ length: 20 });
  await Promise.all(clients.map(async (redis) => {
    for (const _ of rounds) await increment(redis);
  }));
  assert.equal(await clients[0].get("counter"), String(clients.length * rounds.length));
}

async function checkScan(redis) {
  const names = Array.from({ length: 500 }, (_, number) => `scanned:${number}`);
  await redis.mset(...names.flatMap((name) => [name, "x"]), "elsewhere", "x");
  const found = new Set();
  for await (const keys of redis.scanStream({ match: "scanned:*", count: 50 })) keys.forEach((key) => found.add(key));
  assert.deepEqual([...found].sort(), names.sort());
}

async function checkMonitor(redis) {
  const monitor = await redis.monitor();
  const shown = once(monitor, "monitor");
  await redis.set("seen", 'two "words"');
  const [time, words, source] = await shown;
  assert.ok(Number(time) > 1.7e9, `the time is ${time}`);
  assert.deepEqual(words, ["set", "seen", 'two "words"']);
  assert.match(source, /^127\.0\.0\.1:\d+$/);
  const ended = once(monitor, "end");
  monitor.disconnect();
  await ended;
}

async function checkConnection(redis) {
  assert.equal(await redis.ping(), "PONG");
  assert.equal(await redis.client("GETNAME"), "checker");
  assert.match(await redis.client("INFO"), new RegExp(`name=checker .*resp=${protocol}`));
  assert.match(await redis.info(), /^redis_version:7/m);
  await assert.rejects(redis.call("NOPE", "a"), { message: /^ERR unknown command 'NOPE', with args beginning with: 'a'/ });
}

async function check() {
  const [redis, ...others] = Array.from({ length: 8 }, () => new Redis({ ...options, connectionName: "checker" }));
  await checkConnection(redis);
  await checkStrings(redis);
  await checkBitmaps(redis);
  await checkPipelines(redis);
  await checkTransactions(redis, others[0]);
  await checkCounting([redis, ...others]);
  await checkScan(redis);
  await checkMonitor(redis);
  for (const each of [redis, ...others]) {
    const ended = once(each, "end");
    assert.equal(await each.quit(), "OK");
    await ended;
  }
  console.log("all as it should be");
}

check().catch((problem) => {
  console.error(problem);
  process.exit(1);
});
