// expect: CODE_FAILED
// Starts a thread.
new os.Worker('data:,');
