// expect: CODE_FAILED
// Prints what throws when it becomes text.
console.log({ toJSON() { throw new Error('no'); }, toString() { throw new Error('no'); } });
