import assert from "node:assert/strict";
import Redis from "iovalkey";

export async function stringsAndPipelines(url) {
  const redis = new Redis(url);
  assert.deepEqual(await redis.pipeline().set("key", "1").incr("key").exec(), [[null, "OK"], [null, 2]]);
}
