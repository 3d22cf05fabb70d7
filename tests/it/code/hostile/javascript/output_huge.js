// expect: SUCCESS
// Prints more than is kept.
for (let i = 0; i < 20000; i += 1) console.log('x'.repeat(1000));
result = [];
