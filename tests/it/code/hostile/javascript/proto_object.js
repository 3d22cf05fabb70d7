// expect: SUCCESS
// Poisons the prototype of all objects.
Object.prototype.toJSON = () => { throw new Error('poisoned'); };
Object.prototype.polluted = 'yes';
delete Object.prototype.toJSON;
result = [];
