// expect: SUCCESS
// Poisons calls.
Function.prototype.call = Function.prototype.apply = () => { throw new Error('poisoned'); };
result = [];
