// In wasm: tries all vectors and prints how many there were; then, with a number of turns, how long sealing and opening took in each.
const { vectors, Sealing } = require(process.argv[2]);

console.log(vectors());
const turns = Number(process.argv[3]);
for (const bytes of [300, 4096]) {
  const sealing = turns > 0 && new Sealing(bytes);
  for (const what of turns > 0 ? ["seal", "open"] : []) {
    // V8 compiles what is used often, for good.
    sealing[what](20000);
    const times = [];
    for (let turn = 0; turn < turns; turn++) {
      const before = process.hrtime.bigint();
      sealing[what](2000);
      times.push(Number(process.hrtime.bigint() - before) / 2000);
    }
    console.log(JSON.stringify(times));
  }
}
