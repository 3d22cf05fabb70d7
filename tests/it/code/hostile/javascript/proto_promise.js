// expect: SUCCESS
// Poisons promises.
Promise.prototype.then = () => { throw new Error('poisoned'); };
result = [];
