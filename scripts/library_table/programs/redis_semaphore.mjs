import Redis from "ioredis";
import { Mutex, Semaphore } from "redis-semaphore";

export async function mutex(url) {
  const mutex = new Mutex(new Redis(url), "lock");
  await mutex.acquire();
  await mutex.release();
}

export async function semaphore(url) {
  const semaphore = new Semaphore(new Redis(url), "semaphore", 2);
  await semaphore.acquire();
  await semaphore.release();
}
