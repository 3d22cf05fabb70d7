// expect: CODE_FAILED
// Runs a command.
os.exec(['/bin/sh', '-c', 'id']);
