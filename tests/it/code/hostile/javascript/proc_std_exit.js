// expect: CODE_FAILED
// Ends the process as under QuickJS.
std.exit(0);
