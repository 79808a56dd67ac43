import assert from "node:assert/strict";
import Redis from "ioredis";
import { RateLimiterRedis } from "rate-limiter-flexible";

export async function rateLimit(url) {
  const storeClient = new Redis(url, { enableOfflineQueue: true });
  const limiter = new RateLimiterRedis({ storeClient, points: 2, duration: 100 });
  await limiter.consume("user");
  await limiter.consume("user");
  await assert.rejects(limiter.consume("user"), (reason) => reason.consumedPoints === 3 || Promise.reject(reason));
}
