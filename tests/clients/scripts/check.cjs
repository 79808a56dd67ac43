// Locks and rate limiters for node.js, unchanged. All of them send scripts. Two ports: of RESP, of HTTP.
"use strict";

const assert = require("node:assert/strict");
const { Lock } = require("@upstash/lock");
const { Redis: UpstashRedis } = require("@upstash/redis");
const express = require("express");
const { rateLimit } = require("express-rate-limit");
const fastify = require("fastify");
const { Redis } = require("ioredis");
const { RedisStore } = require("rate-limit-redis");
const { RateLimiterRedis } = require("rate-limiter-flexible");
const Redlock = require("redlock");

const [port, httpPort] = process.argv.slice(2);
const redis = new Redis(Number(port), "127.0.0.1");

async function checkRedlock() {
  const redlock = new (Redlock.default ?? Redlock)([redis], { retryCount: 0 });
  const acquire = redlock.acquire ? "acquire" : "lock";
  const lock = await redlock[acquire](["redlock"], 10000);
  await assert.rejects(redlock[acquire](["redlock"], 10000));
  const extended = await lock.extend(10000);
  await (extended.release ?? extended.unlock).call(extended);
  assert.equal(await redis.exists("redlock"), 0);
}

async function checkRateLimiterFlexible() {
  const limiter = new RateLimiterRedis({ storeClient: redis, points: 2, duration: 60 });
  assert.equal((await limiter.consume("user")).remainingPoints, 1);
  assert.equal((await limiter.consume("user")).remainingPoints, 0);
  await assert.rejects(limiter.consume("user"), (refusal) => refusal.consumedPoints === 3);
}

async function statuses(url) {
  const found = [];
  for (let place = 0; place < 3; place++) found.push((await fetch(url)).status);
  return found;
}

async function checkFastify() {
  const app = fastify();
  await app.register(require("@fastify/rate-limit"), { max: 2, timeWindow: 60000, redis });
  app.get("/", async () => "fine");
  const url = await app.listen({ port: 0, host: "127.0.0.1" });
  assert.deepEqual(await statuses(url), [200, 200, 429]);
  await app.close();
}

async function checkExpress() {
  const app = express();
  const store = new RedisStore({ sendCommand: (...args) => redis.call(...args) });
  app.use(rateLimit({ windowMs: 60000, limit: 2, store, validate: false }));
  app.get("/", (request, response) => response.send("fine"));
  const server = await new Promise((resolve) => {
    const listening = app.listen(0, "127.0.0.1", () => resolve(listening));
  });
  assert.deepEqual(await statuses(`http://127.0.0.1:${server.address().port}/`), [200, 200, 429]);
  server.closeAllConnections();
  server.close();
}

async function checkUpstashLock() {
  const upstash = new UpstashRedis({ url: `http://127.0.0.1:${httpPort}`, token: "any", enableTelemetry: false });
  const options = { id: "upstash", redis: upstash, lease: 10000, retry: { attempts: 1, delay: 1 } };
  const lock = new Lock(options);
  assert.equal(await lock.acquire(), true);
  assert.equal(await new Lock(options).acquire(), false);
  assert.equal(await lock.extend(5000), true);
  assert.equal(await lock.release(), true);
}

async function main() {
  for (const check of [checkRedlock, checkRateLimiterFlexible, checkFastify, checkExpress, checkUpstashLock]) {
    try {
      await check();
    } catch (problem) {
      throw new Error(check.name, { cause: problem });
    }
  }
  redis.disconnect();
  console.log("all as it should be");
}

main().catch((problem) => {
  console.error(problem);
  process.exit(1);
});
