import assert from "node:assert/strict";
import rateLimit from "@fastify/rate-limit";
import Fastify from "fastify";
import Redis from "ioredis";

export async function limit(url) {
  const app = Fastify();
  await app.register(rateLimit, { redis: new Redis(url), max: 2, timeWindow: 100_000 });
  app.get("/", async () => "ok");
  const responses = [await app.inject("/"), await app.inject("/"), await app.inject("/")];
  assert.deepEqual(responses.map((each) => each.statusCode), [200, 200, 429], responses[0].body);
}
