// expect: CODE_FAILED
// Reads JSON that nests too deep.
result = JSON.parse('['.repeat(1000000) + ']'.repeat(1000000));
