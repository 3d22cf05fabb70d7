// expect: SUCCESS
// Prints what no database keeps.
console.log('a\0b\ud800\x1b[2J');
result = [];
