// expect: CODE_FAILED
// Reads a file as under Node.
result = require('fs').readFileSync(data.file, 'utf8');
