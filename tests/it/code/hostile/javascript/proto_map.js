// expect: SUCCESS
// Poisons what the host may keep its things in.
Map.prototype.values = Map.prototype.set = Map.prototype.get = () => { throw new Error('poisoned'); };
Promise.reject(1).catch(() => {});
result = [];
