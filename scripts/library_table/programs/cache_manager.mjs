import assert from "node:assert/strict";
import KeyvRedis from "@keyv/redis";
import { createCache } from "cache-manager";
import Keyv from "keyv";

export async function cache(url) {
  const store = createCache({ stores: [new Keyv(new KeyvRedis(url))], ttl: 100_000 });
  let calls = 0;
  const double = () => store.wrap("key", async () => ((calls += 1), 4));
  assert.deepEqual([await double(), await double(), calls], [4, 4, 1]);
}
