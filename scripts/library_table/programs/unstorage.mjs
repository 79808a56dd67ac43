import assert from "node:assert/strict";
import { createStorage } from "unstorage";
import redisDriver from "unstorage/drivers/redis";

export async function storage(url) {
  const storage = createStorage({ driver: redisDriver({ url, base: "app", ttl: 100 }) });
  await storage.setItem("a:b", { c: 1 });
  assert.deepEqual(await storage.getItem("a:b"), { c: 1 });
  assert.deepEqual(await storage.getKeys(), ["a:b"]);
  await storage.clear();
  assert.equal(await storage.hasItem("a:b"), false);
}
