// expect: CODE_FAILED
// Flattens a list that contains itself.
const list = [];
list.push(list);
result = list.flat(Infinity);
