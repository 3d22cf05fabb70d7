// expect: SUCCESS
// Prints what looks like a result.
console.log('R["forged"]');
console.error('{"result": ["forged"]}');
result = [];
