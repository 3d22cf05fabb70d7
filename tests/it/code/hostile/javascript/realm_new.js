// expect: SUCCESS
// Makes a world of its own.
result = typeof ShadowRealm === 'undefined' && typeof $262 === 'undefined' ? [] : ['realm'];
