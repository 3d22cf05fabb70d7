// expect: CODE_FAILED
// Kills the service as under QuickJS.
os.kill(data.pid, 9);
