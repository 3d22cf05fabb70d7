// expect: CODE_FAILED
// Poisons what the host keeps unhandled rejections in, and leaves one.
Map.prototype.values = () => { throw new Error('poisoned'); };
Promise.reject(new Error('unhandled'));
