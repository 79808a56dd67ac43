// Run the checks of one program: `node run_program.mjs PROGRAM URL`. Every function that the program exports is a check.
// It gets the URL of the server, and rejects if the library does not work. A line of JSON per check is printed: its name,
// and its error or null.

import { pathToFileURL } from "node:url";

const [program, url] = process.argv.slice(2);
const TIMEOUT = 30_000;

let unhandled = "";
process.on("unhandledRejection", (problem) => (unhandled ||= String(problem)));
process.on("uncaughtException", (problem) => (unhandled ||= String(problem)));

const late = () => new Promise((_, reject) => setTimeout(() => reject(new Error("it does not end")), TIMEOUT));

const checks = await import(pathToFileURL(program));
for (const [name, check] of Object.entries(checks)) {
  let error = null;
  try {
    await Promise.race([check(url), late()]);
  } catch (problem) {
    const texts = [problem, problem.cause, ...(problem.errors ?? [])].filter(Boolean).map(String);
    error = [...texts, unhandled].join("; ");
  }
  const words = name.replace(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`);
  console.log(JSON.stringify([words, error]));
}
process.exit(0);
