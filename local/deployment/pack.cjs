// Packs each codebase by the code that `firebase deploy` packs it with: `node pack.cjs ORDERS`.
const fs = require("node:fs");
const path = require("node:path");

const { tools, orders } = JSON.parse(fs.readFileSync(process.argv[2], "utf8"));
const { prepareFunctionsUpload } = require(path.join(tools, "firebase-tools/lib/deploy/functions/prepareFunctionsUpload.js"));

(async () => {
  for (const { codebase, source, archive } of orders) {
    const { pathToSource } = await prepareFunctionsUpload(path.dirname(source), source, codebase, [], undefined);
    fs.copyFileSync(pathToSource, archive);
  }
})();
