// expect: SUCCESS
// Takes frames of the host from a stack.
let frames = [];
Error.prepareStackTrace = (_, sites) => sites;
try {
  null.x;
} catch (error) {
  frames = Array.isArray(error.stack) ? error.stack : [];
}
result = [];
for (const frame of frames) {
  const own = frame.getFunction && frame.getFunction();
  if (own && own.toString().includes("stringify")) result.push("prelude");
}
