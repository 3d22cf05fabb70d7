// expect: CODE_FAILED
// Loads a script of the host.
std.loadScript(data.file);
