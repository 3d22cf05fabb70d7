// expect: SUCCESS
// Reads paths of the host from a stack.
result = new Error('x').stack.split('\n').filter((line) => line.includes('/'));
