"use strict";

// Predeploy of `firestore` and `storage`: refuses to replace security rules that are not this repository's own.
//
//     node rules_guard.cjs RELEASE FILE     RELEASE is cloud.firestore, cloud.firestore/DATABASE, or firebase.storage
//
// It replaces without asking what loses nobody anything: an earlier version of FILE (astra/rules.json), rules that
// refuse everything, as the console makes them, and no rules at all. Anything else it shows as a difference, and goes on
// only if ASTRA_REPLACE_RULES names the SHA-256 of exactly what is released; of several, separated by commas.
//
// It asks through firebase-tools itself: with the same account, proxy and certificates as the deployment that runs it.

const crypto = require("node:crypto");
const fs = require("node:fs");
const path = require("node:path");

const VERSIONS = require("./astra/rules.json");
const LOCKED = new RegExp(
  "^(rules_version=['\"]2['\"];)?service(cloud\\.firestore|firebase\\.storage)\\{" +
    "match/(databases/\\{database\\}/documents|b/\\{bucket\\}/o)\\{" +
    "match/\\{\\w+=\\*\\*\\}\\{allowread,write:iffalse;\\}\\}\\}$",
);

const hash = (text) => crypto.createHash("sha256").update(text).digest("hex");

function isLocked(text) {
  return LOCKED.test(text.replace(/\/\/.*$/gm, "").replace(/\s/g, ""));
}

/** The text of what is released, or undefined. Several files are one text, as in cli.rules. */
async function released(project, release) {
  const rules = require("firebase-tools/lib/gcp/rules");
  const name = `projects/${project}/releases/${release}`;
  const found = (await rules.listAllReleases(project)).find((one) => one.name === name);
  return found && (await rules.getRulesetContent(found.rulesetName)).map((file) => file.content).join("");
}

async function signIn(project, root) {
  const auth = require("firebase-tools/lib/auth");
  const options = { project, projectId: project, projectRoot: root };
  const account = auth.selectAccount(undefined, root);
  if (account) auth.setActiveAccount(options, account);
  await require("firebase-tools/lib/requireAuth").requireAuth(options);
}

/** Why the rules in `text` may be replaced by `file`, or undefined. */
function mayReplace(text, file) {
  if (text === undefined) return "nothing is released yet";
  const sha256 = hash(text);
  const version = Object.keys(VERSIONS[file]).find((known) => VERSIONS[file][known] === sha256);
  if (version) return `version ${version} of ${file} is released`;
  if (isLocked(text)) return "rules that refuse everything are released";
  const agreed = (process.env.ASTRA_REPLACE_RULES || "").split(",").map((word) => word.trim());
  if (agreed.includes(sha256)) return `ASTRA_REPLACE_RULES names the released rules, ${sha256}`;
  return undefined;
}

function refusal(release, project, text, file, ours) {
  const difference = require("diff").createTwoFilesPatch(`released in ${project}`, file, text, ours);
  return [
    `${release}: ${project} has rules that are not this repository's, and this deployment would replace them:`,
    "",
    // Whoever wrote them must not write to this terminal.
    difference.replace(/[^\t\n\x20-\x7e\u00a0-\uffff]/g, "?"),
    "Nothing was deployed. Keep what you need of them. Then agree to lose exactly these rules, and deploy again with",
    `ASTRA_REPLACE_RULES=${hash(text)}`,
  ].join("\n");
}

async function main([service, file]) {
  const project = process.env.GCLOUD_PROJECT;
  const root = path.dirname(__dirname);
  await signIn(project, root);
  const bucket = () => require("firebase-tools/lib/gcp/storage").getDefaultBucket(project);
  const release = service === "firebase.storage" ? `${service}/${await bucket()}` : service;
  const text = await released(project, release);
  const why = mayReplace(text, file);
  if (why) return console.log(`${release}: ${why}`);
  console.error(refusal(release, project, text, file, fs.readFileSync(path.join(root, file), "utf8")));
  process.exitCode = 1;
}

function fail(error) {
  const [why] = error.message.split("\n");
  console.error(`the released rules can't be compared, so nothing was deployed: ${why}`);
  if (error.code === "MODULE_NOT_FOUND") console.error("run `make setup` first");
  if (error.status === 403) console.error("the deployer needs roles/firebaserules.admin and roles/firebasestorage.viewer");
  process.exitCode = 1;
}

// firebase-tools throws what is wrong with a sign-in where nobody can catch it.
process.on("unhandledRejection", fail);
main(process.argv.slice(2)).catch(fail);
