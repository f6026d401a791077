// Does in wasm what it is told by lines on standard input, each answered by an empty line; see `src/worker.rs`.
// Everything blocks: while nothing is to be done, this thread uses no time.
const { readSync, writeSync } = require("node:fs");
const { Bench } = require(process.argv[2]);

const bench = new Bench();
const commands = { choose: (n) => bench.choose(n), lay_out: (n) => bench.lay_out(n), run: () => bench.run() };
const buffer = Buffer.alloc(256);
let line = "";
for (let length; (length = readSync(0, buffer)) > 0; ) {
  line += buffer.toString("latin1", 0, length);
  if (!line.endsWith("\n")) continue;
  const [command, number] = line.trim().split(" ");
  line = "";
  commands[command](Number(number));
  writeSync(1, "\n");
}
