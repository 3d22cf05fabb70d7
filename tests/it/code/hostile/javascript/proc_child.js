// expect: CODE_FAILED
// Runs a command as under Node.
require('child_process').execSync('id');
