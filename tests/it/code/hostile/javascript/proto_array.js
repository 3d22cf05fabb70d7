// expect: SUCCESS
// Poisons the prototype of lists.
Array.prototype.push = () => { throw new Error('poisoned'); };
Array.prototype.filter = () => { throw new Error('poisoned'); };
Array.prototype[Symbol.iterator] = function* () {};
result = [];
