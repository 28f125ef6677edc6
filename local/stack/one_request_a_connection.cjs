// Node keeps an idle connection to a function for 5 s, gunicorn for 2: a request sent at that moment is reset, and
// firebase-tools then kills the function that it was for, together with whatever else that was doing.
const http = require("node:http");

http.globalAgent = new http.Agent({ keepAlive: false });
