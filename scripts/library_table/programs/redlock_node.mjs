import assert from "node:assert/strict";
import Redis from "ioredis";
import Redlock from "redlock";

export async function lock(url) {
  const redlock = new Redlock([new Redis(url)], { retryCount: 0 });
  const lock = await redlock.lock("lock", 10_000);
  await assert.rejects(redlock.lock("lock", 10_000));
  await lock.unlock();
}
