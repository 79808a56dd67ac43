import assert from "node:assert/strict";
import KeyvRedis from "@keyv/redis";
import Keyv from "keyv";

export async function cache(url) {
  const keyv = new Keyv(new KeyvRedis(url, { throwOnErrors: true }));
  await keyv.set("key", { a: 1 }, 100_000);
  assert.deepEqual(await keyv.get("key"), { a: 1 });
  assert.equal(await keyv.delete("key"), true);
  await keyv.set("other", 1);
  await keyv.clear();
  assert.equal(await keyv.get("other"), undefined);
}
