import assert from "node:assert/strict";
import { Redis } from "@upstash/redis";

const options = { url: process.env.KVLINE_HTTP_URL, token: "any", retry: false, enableTelemetry: false };

export async function stringsAndTransactions() {
  const redis = new Redis(options);
  assert.equal(await redis.set("key", "välue", { ex: 100 }), "OK");
  assert.equal(await redis.get("key"), "välue");
  assert.deepEqual(await redis.multi().incr("n").get("key").exec(), [1, "välue"]);
}

export async function scripts() {
  assert.equal(await new Redis(options).eval("return ARGV[1]", [], ["a"]), "a");
}
