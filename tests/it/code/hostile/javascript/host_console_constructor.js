// expect: SUCCESS
// Climbs from the console to the host's own functions.
const make = console.log.constructor;
result = make("return typeof require === 'undefined' && typeof process === 'undefined' ? [] : ['host']")();
