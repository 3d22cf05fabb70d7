// expect: CODE_FAILED
// Looks at its process.
result = process.pid;
