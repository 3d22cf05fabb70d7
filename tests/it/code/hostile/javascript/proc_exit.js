// expect: CODE_FAILED
// Ends the process.
process.exit(0);
