// expect: CODE_FAILED
// Starts a worker from a file.
new Worker(data.file);
