import assert from "node:assert/strict";
import { once } from "node:events";
import { RedisStore } from "connect-redis";
import express from "express";
import session from "express-session";
import { createClient } from "redis";

export async function sessions(url) {
  const client = await createClient({ url }).connect();
  const app = express();
  app.use(session({ store: new RedisStore({ client }), secret: "secret", resave: false, saveUninitialized: false }));
  app.get("/", (request, response) => response.send(String((request.session.visits = (request.session.visits ?? 0) + 1))));
  const server = app.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = `http://127.0.0.1:${server.address().port}/`;
  const first = await fetch(address);
  const cookie = first.headers.get("set-cookie").split(";")[0];
  assert.equal(await (await fetch(address, { headers: { cookie } })).text(), "2");
}
