import assert from "node:assert/strict";
import { once } from "node:events";
import express from "express";
import { rateLimit } from "express-rate-limit";
import { RedisStore } from "rate-limit-redis";
import { createClient } from "redis";

export async function limit(url) {
  const client = await createClient({ url }).connect();
  const store = new RedisStore({ sendCommand: (...args) => client.sendCommand(args) });
  const limiter = rateLimit({ windowMs: 100_000, limit: 2, store, validate: false });
  const app = express();
  app.use(limiter);
  app.get("/", (request, response) => response.send("ok"));
  app.use((error, request, response, next) => response.status(500).send(error.message));
  const server = app.listen(0, "127.0.0.1");
  await once(server, "listening");
  const statuses = [];
  for (let number = 0; number < 3; number++) {
    const response = await fetch(`http://127.0.0.1:${server.address().port}/`);
    assert.notEqual(response.status, 500, await response.text());
    statuses.push(response.status);
  }
  assert.deepEqual(statuses, [200, 200, 429]);
}
