// expect: SUCCESS
// Prints what does not want to be printed.
console.log({ toJSON() { throw new Error('no'); }, toString() { throw new Error('no'); } } instanceof Object);
result = [];
