// Node's firebase-admin deletes trees: the first only to warm up, the last with a clock beside it. Prints seconds.
import { initializeApp } from "firebase-admin/app";
import { getFirestore } from "firebase-admin/firestore";

const [pace, ...uids] = process.argv.slice(2);
initializeApp();
const db = getFirestore();
let seconds;
for (const uid of uids) {
  // Left to itself it begins at 500 deletes a second and adds half of that every five minutes.
  const writer = pace === "unthrottled" ? [db.bulkWriter({ throttling: false })] : [];
  const began = performance.now();
  await db.recursiveDelete(db.doc(`users/${uid}`), ...writer);
  seconds = (performance.now() - began) / 1000;
}
console.log(JSON.stringify([seconds]));
