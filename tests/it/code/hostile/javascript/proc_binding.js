// expect: CODE_FAILED
// Asks for the inside of Node.
process.binding('spawn_sync');
