// expect: CODE_FAILED
// Kills the service.
process.kill(data.pid, 'SIGKILL');
