// expect: SUCCESS
// Climbs from a timer to the host's own functions.
const make = setTimeout.constructor;
result = make("return typeof std === 'undefined' && typeof os === 'undefined' ? [] : ['host']")();
